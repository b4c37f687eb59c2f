"""``midi-valle manifest`` and ``prompts``: what is needed before a run."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finishes
from jobs.cli.from_options import takes
from jobs.manifests.build_options import BuildOptions

manifest_app = typer.Typer(help="Make manifests.", no_args_is_help=True)
prompts_app = typer.Typer(help="Show prompts.", no_args_is_help=True)


@manifest_app.command("build")
@takes(BuildOptions)
def build_manifest(options: BuildOptions) -> int:
    """Make a manifest of MIDI files: folders, S3 prefixes, patterns, or datasets by their tables.

    Each file is read: what cannot be rendered is left out, and the table beside the manifest says why.
    """
    from jobs.manifests.build_manifest import build_manifest

    typer.echo(f"{build_manifest(options):,} rows: {options.out}")
    return 0


@prompts_app.command("list")
@finishes
def list_prompts(
    model: Annotated[str, typer.Option(help="mini, midi-valle, or a model directory.")] = "mini",
    prompts: Annotated[Path | None, typer.Option(help="Prompt bank to show as well.")] = None,
) -> int:
    """List the ids that a manifest's prompt column may hold: the model's own, and a bank's."""
    from renderer.weights.checkpoint import find_model
    from schemas.prompts import read_prompt_bank

    for prompt_id in (*find_model(model).prompt_ids, *(read_prompt_bank(prompts) if prompts else ())):
        typer.echo(prompt_id)
    return 0
