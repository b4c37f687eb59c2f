"""`midi-valle models`: which models are at hand, and how the published weights become one of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.finish import finish
from jobs.console import download_bar
from renderer.errors import RendererError

if TYPE_CHECKING:
    from renderer.weights.checkpoint import ModelDescription

models_app = typer.Typer(help="List models; download and import the published weights.", no_args_is_help=True)

Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for downloaded files; the user's cache folder by default."),
]


@models_app.command("import")
def import_command(
    out: Annotated[Path, typer.Option(help="The model directory to make; give it to --model afterwards.")],
    model_file: Annotated[Path | None, typer.Option(help="The published language model.")] = None,
    codec_file: Annotated[Path | None, typer.Option(help="The published codec.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Attention heads; one per 64 dimensions.")] = None,
    cache: Cache = None,
) -> None:
    """Turn published files into a model directory; without files, download them first."""
    with _errors_as_messages():
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


@models_app.command()
def assemble(
    out: Annotated[Path, typer.Option(help="The model directory to make; give it to --model afterwards.")],
    model: Annotated[str, typer.Option(help="A trained language model's directory.")],
    codec: Annotated[str, typer.Option(help="A codec of the same codes: its own, or one with a new decoder.")],
    corpus: Annotated[str, typer.Option(help="Where prompts are taken from.")],
    prompt: Annotated[list[str], typer.Option(help="ID=ITEM: the first 3 s of the corpus' item; repeat.")],
    name: Annotated[str, typer.Option(help="The model's name.")],
    licence: Annotated[str, typer.Option(help="Its licence, for its card.")] = "not stated",
    velocity_response: Annotated[
        float,
        typer.Option(min=0, help="By which power of the velocity a decoder that is told the notes plays louder."),
    ] = 0.0,
) -> None:
    """Put a trained language model, a codec and prompts together."""

    def work() -> int:
        from jobs.training.assemble import assemble_model

        assemble_model(out, model, codec, corpus, prompt, name, licence, velocity_response)
        typer.echo(f"Assembled in {out}")
        return 0

    finish(work)


@models_app.command()
def download(cache: Cache = None) -> None:
    """Download the published weights; an interrupted download goes on where it stopped."""
    with _errors_as_messages():
        from renderer.weights.published import cache_directory, find_or_download

        with download_bar() as (progress, announce):
            files = find_or_download(cache or cache_directory(), progress, announce)
        typer.echo(f"{files.model}\n{files.codec}")


@models_app.command("list")
def list_command(cache: Cache = None) -> None:
    """List the bundled and the imported models, with their size, licence and card."""
    with _errors_as_messages():
        from renderer.weights.checkpoint import BUNDLED, describe
        from renderer.weights.published import cache_directory

        for kind, parent in (("bundled", BUNDLED), ("imported", cache or cache_directory())):
            for config in sorted(parent.glob("[!.]*/config.json")):
                try:
                    _show(describe(config.parent), kind)
                except RendererError as error:
                    typer.echo(f"{config.parent} cannot be used: {error}", err=True)


def _show(model: "ModelDescription", kind: str) -> None:
    size = sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())
    typer.echo(f"{model.name} ({kind}, {size / 1e6:.1f} MB): {model.folder}")
    for key, value in _card(model.folder).items():
        if key != "name":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            typer.echo(f"  {key.replace('_', ' ')}: {text}")


def _card(folder: Path) -> dict[str, object]:
    path = folder / "card.json"
    card: dict[str, object] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return card


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except RendererError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
