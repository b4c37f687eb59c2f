"""`midi-valle models`: which models are at hand, and how the published weights become one of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.finish import finishes
from jobs.cli.from_options import takes
from jobs.console import download_bar
from jobs.training.assemble_options import AssembleOptions
from jobs.training.probe_options import ProbeOptions
from renderer.errors import RendererError

if TYPE_CHECKING:
    from renderer.weights.checkpoint import ModelDescription

models_app = typer.Typer(help="List models; download and import the published weights.", no_args_is_help=True)

Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for downloaded files; the user's cache folder by default."),
]


@models_app.command("import")
@finishes
def import_command(
    out: Annotated[Path, typer.Option(help="The model directory to make; give it to --model afterwards.")],
    model_file: Annotated[Path | None, typer.Option(help="The published language model.")] = None,
    codec_file: Annotated[Path | None, typer.Option(help="The published codec.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Attention heads; one per 64 dimensions.")] = None,
    cache: Cache = None,
) -> int:
    """Turn published files into a model directory; without files, download them first."""
    from renderer.weights.published import cache_directory, find_or_download
    from renderer.weights.published_import import LICENCE_NOTE, import_published

    licence_file = None
    if model_file is None and codec_file is None:
        with download_bar() as (progress, announce):
            files = find_or_download(cache or cache_directory(), progress, announce)
        model_file, codec_file, licence_file = files.model, files.codec, files.licence
    elif model_file is None or codec_file is None:
        raise typer.BadParameter("--model-file and --codec-file go together")
    else:
        typer.echo(LICENCE_NOTE)
    import_published(model_file, codec_file, out, heads, licence_file)
    typer.echo(f"Imported to {out}")
    return 0


@models_app.command()
@takes(AssembleOptions)
def assemble(options: AssembleOptions) -> int:
    """Put a trained language model, a codec and prompts together."""
    from jobs.training.assemble import assemble_model

    assemble_model(options)
    typer.echo(f"Assembled in {options.out}")
    return 0


@models_app.command()
@takes(ProbeOptions)
def probe(options: ProbeOptions) -> int:
    """Fit what tells from codes alone which notes are struck, by which verdicts judge a language model."""
    from jobs.training.fit_probe import fit_probe

    seconds = fit_probe(options)
    typer.echo(f"Fitted to {seconds / 60:,.0f} minutes of audio: {options.model / 'probe.safetensors'}")
    return 0


@models_app.command()
@finishes
def download(cache: Cache = None) -> int:
    """Download the published weights; an interrupted download goes on where it stopped."""
    from renderer.weights.published import cache_directory, find_or_download

    with download_bar() as (progress, announce):
        files = find_or_download(cache or cache_directory(), progress, announce)
    typer.echo(f"{files.model}\n{files.codec}")
    return 0


@models_app.command("list")
@finishes
def list_command(cache: Cache = None) -> int:
    """List the bundled and the imported models, with their size, licence and card."""
    from renderer.weights.checkpoint import BUNDLED, describe
    from renderer.weights.published import cache_directory

    for kind, parent in (("bundled", BUNDLED), ("imported", cache or cache_directory())):
        for config in sorted(parent.glob("[!.]*/config.json")):
            try:
                _show(describe(config.parent), kind)
            except RendererError as error:
                typer.echo(f"{config.parent} cannot be used: {error}", err=True)
    return 0


def _show(model: "ModelDescription", kind: str) -> None:
    from renderer.weights.checkpoint import read_card

    size = sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())
    typer.echo(f"{model.name} ({kind}, {size / 1e6:.1f} MB): {model.folder}")
    for key, value in read_card(model.folder).items():
        if key != "name":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            typer.echo(f"  {key.replace('_', ' ')}: {text}")
