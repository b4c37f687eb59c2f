"""``render-corpus``."""

import typer

from jobs.cli.from_options import takes
from jobs.run.options import RenderOptions
from jobs.run.presets import PRESETS

render_app = typer.Typer(pretty_exceptions_enable=False)


@render_app.command()
@takes(RenderOptions, PRESETS)
def render(options: RenderOptions, context: typer.Context) -> int:
    """Render a corpus of performance MIDI to piano audio.

    Exit codes: 0 all rendered, 3 finished with failed items, 130 interrupted, 1 anything else.
    """
    from jobs.run.render import render_corpus

    make_backend = context.obj
    return render_corpus(options, make_backend(options) if make_backend else None)
