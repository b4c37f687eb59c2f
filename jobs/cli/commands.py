"""The commands ``render-corpus`` and ``midi-valle``. What they do is imported when it is done: help is quick."""

import typer

from jobs.cli.render import render_app


def render_corpus() -> None:
    """The command ``render-corpus``."""
    _main(render_app)


def midi_valle() -> None:
    """The command ``midi-valle``."""
    _main(midi_valle_app())


def midi_valle_app() -> typer.Typer:
    """The verbs of ``midi-valle``."""
    from jobs.cli.bench import bench
    from jobs.cli.cluster import cluster_app
    from jobs.cli.exports import decode, export
    from jobs.cli.inspect import gc, report, status, verify
    from jobs.cli.manifests import manifest_app
    from jobs.cli.models import models_app
    from jobs.cli.prompts import prompts_app
    from jobs.cli.training import evaluate, pack, prepare, train, train_codec

    app = typer.Typer(
        help="Everything around render-corpus.",
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
    app.add_typer(models_app, name="models")
    app.add_typer(manifest_app, name="manifest")
    app.add_typer(prompts_app, name="prompts")
    app.add_typer(cluster_app, name="cluster")
    for command in (export, decode, bench, status, report, verify, gc, prepare, pack, train_codec, train, evaluate):
        app.command()(command)
    return app


def _main(app: typer.Typer) -> None:
    """Run a command. Typer's 2 for a wrong option becomes 1, like every other mistake."""
    try:
        app()
    except SystemExit as end:
        raise SystemExit(1 if end.code == 2 else end.code) from None
