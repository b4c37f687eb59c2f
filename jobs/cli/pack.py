"""``midi-valle pack``: its options. What it does is imported when it is done: help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finish


def pack(
    corpus: Annotated[str, typer.Argument(help="The corpus: what of it is finished is packed.")],
    out: Annotated[Path, typer.Option(help="The file to write, as pack.safetensors.")],
    codec: Annotated[
        str | None, typer.Option(help="Codes of this codec or model, a name or directory; by default the corpus' own.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="By default as many as there are cores.")] = None,
    s3_endpoint_url: Annotated[str | None, typer.Option(help="S3 server, where it is not Amazon's.")] = None,
) -> None:
    """Write a corpus as codes alone: one file, to train elsewhere without Ray, Parquet or audio.

    60 hours are about 90 MB.
    """
    options = dict(locals())

    def work() -> int:
        from jobs.corpora.pack_corpus import PackOptions, pack_corpus

        return pack_corpus(PackOptions(**options))

    finish(work)
