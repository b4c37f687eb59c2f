"""``midi-valle evaluate``: the command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finish


def evaluate(
    out: Annotated[str, typer.Option(help="Where rows, table and plots go; run the same command again to go on.")],
    corpus: Annotated[str | None, typer.Option(help="Prepared corpus on which to evaluate --model.")] = None,
    run: Annotated[str | None, typer.Option(help="Finished run to evaluate: what its --out was.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="With --run: folder of recordings, named as the items are.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="mini, midi-valle, or a model directory; with --run: what it was rendered by.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="In place of --model: a codec directory, or a model whose codec alone counts.")
    ] = None,
    protocol: Annotated[
        list[str], typer.Option(help="Prompts: self (a clip's own start), cross (another piece); repeatable.")
    ] = ["self", "cross"],  # noqa: B006 - typer copies it.
    split: Annotated[str, typer.Option(help="The corpus's split to evaluate on.")] = "test",
    piano: Annotated[
        list[str],
        typer.Option(help="To compare with: NAME=FOLDER, NAME=FILE.sfz or NAME=FILE.sf2#BANK:PRESET; repeatable."),
    ] = [],  # noqa: B006 - typer copies it.
    transcriber: Annotated[
        str | None, typer.Option(help="Score notes as heard by transkun or basic-pitch; off by default.")
    ] = None,
    musicnn: Annotated[
        bool | None, typer.Option(help="Frechet distances in an independent embedding; by default if it is installed.")
    ] = None,
    published: Annotated[bool, typer.Option(help="Put the published figures into the table.")] = True,
    limit: Annotated[int | None, typer.Option(help="At most so many clips, evenly spread.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the noise of renderings.")] = 0,
    actors: Annotated[int, typer.Option(help="Processes that evaluate side by side.")] = 1,
    gpus: Annotated[int, typer.Option(help="GPUs that the actors share; 0: the CPU.", min=0)] = 0,
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16, or auto: the fastest.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Clips that are rendered side by side.")] = 16,
    s3_endpoint_url: Annotated[str | None, typer.Option(help="S3 server, where it is not Amazon's.")] = None,
) -> None:
    """Judge a model, a codec or a finished run: distances, notes, joints, lengths, and baselines beside them."""

    def work() -> int:
        from jobs.console import say
        from jobs.evaluation.evaluate import EvaluationOptions, evaluate

        options = EvaluationOptions(
            out=out,
            corpus=corpus,
            run=run,
            references=references,
            model=model,
            codec=codec,
            protocols=protocol,
            split=split,
            piano=piano,
            transcriber=transcriber,
            musicnn=musicnn,
            published=published,
            limit=limit,
            seed=seed,
            actors=actors,
            gpus=gpus,
            precision=precision,
            batch_size=batch_size,
            s3_endpoint_url=s3_endpoint_url,
        )
        say(evaluate(options), sys.stdout)
        return 0

    finish(work)
