"""``midi-valle prompts``: make prompt banks, show what is in them, check them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finishes
from jobs.cli.from_options import takes
from jobs.prompts.make_options import MakeOptions

SOME_REFUSED = 3
SHOWN_REFUSALS = 10

prompts_app = typer.Typer(help="Make prompts of recordings; list, show and check them.", no_args_is_help=True)

Model = Annotated[str, typer.Option(help="mini, midi-valle, or a model directory.")]
Bank = Annotated[str | None, typer.Argument(help="A prompt bank; without one, the prompts that come with the model.")]
EndpointUrl = Annotated[str | None, typer.Option("--s3-endpoint-url", help="An S3 server other than Amazon's.")]


@prompts_app.command("list")
@finishes
def list_prompts(
    model: Model = "mini",
    prompts: Annotated[Path | None, typer.Option(help="Prompt bank to show as well.")] = None,
) -> int:
    """List the ids that a manifest's prompt column may hold: the model's own, and a bank's."""
    from renderer.weights.checkpoint import find_model
    from schemas.prompts import read_prompt_bank

    for prompt_id in (*find_model(model).prompt_ids, *(read_prompt_bank(prompts) if prompts else ())):
        typer.echo(prompt_id)
    return 0


@prompts_app.command("make")
@takes(MakeOptions)
def make(options: MakeOptions) -> int:
    """Make a bank of the best 3 s of recordings. Exit code 3 if some recordings give none."""
    from tqdm import tqdm

    from jobs.console import one_line, say
    from jobs.prompts.make import make_prompts, summary

    with tqdm(unit=" recordings", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = make_prompts(options, advance)
    for row in made.without[:SHOWN_REFUSALS]:
        say(f"refused: {one_line(row['recording'])}: {one_line(row['reason'])}")
    for line in summary(made, options):
        say(line, sys.stdout)
    return SOME_REFUSED if made.without else 0


@prompts_app.command("show")
@finishes
def show(
    out: Annotated[Path, typer.Option(help="The page to write; it needs nothing but itself.")],
    bank: Bank = None,
    model: Model = "mini",
    most: Annotated[int, typer.Option(min=1, help="So many prompts at most: each takes about 150 kB.")] = 200,
    endpoint_url: EndpointUrl = None,
) -> int:
    """Write a page of a bank's prompts: players, spectrograms with their notes, level, noise, licence."""
    from jobs.inputs.inputs import Inputs
    from jobs.prompts.page import write_page
    from jobs.prompts.sources import find_prompts
    from jobs.storage import S3Access
    from renderer.weights.checkpoint import find_model

    found = find_model(model)
    prompts = list(find_prompts(bank, found, Inputs(s3=S3Access(endpoint_url))))
    write_page(out, bank or f"Prompts of {found.name}", prompts, most, found)
    typer.echo(f"{min(most, len(prompts)):,} of {len(prompts):,} prompts: {out}")
    return 0


@prompts_app.command("check")
@finishes
def check(bank: Bank = None, model: Model = "mini", endpoint_url: EndpointUrl = None) -> int:
    """Check each prompt as the renderer would, a line each. Exit code 1 if one would be refused."""
    from jobs.console import one_line, say
    from jobs.inputs.inputs import Inputs
    from jobs.prompts.check import check_prompts
    from jobs.prompts.sources import find_prompts
    from jobs.storage import S3Access
    from renderer.weights.checkpoint import find_model

    found = find_model(model)
    refused = 0
    for checked in check_prompts(find_prompts(bank, found, Inputs(s3=S3Access(endpoint_url))), found):
        say(one_line(f"{checked.prompt_id}: {checked.said}"), sys.stdout)
        refused += checked.is_refused
    return 1 if refused else 0
