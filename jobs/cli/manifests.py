"""``midi-valle manifest``: what is to be rendered."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.finish import finishes

manifest_app = typer.Typer(help="Make manifests.", no_args_is_help=True)


@manifest_app.command("build")
@finishes
def build_manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of MIDI files, searched with all folders in it.")],
    prompt: Annotated[str, typer.Option(help="The prompt of every row; see midi-valle prompts list.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("manifest.parquet"),
) -> int:
    """Make a manifest with one row for every .mid and .midi file of a folder."""
    from jobs.manifests.build_manifest import build_manifest

    typer.echo(f"{build_manifest(folder, prompt, out):,} rows: {out}")
    return 0
