"""How every command ends."""

from collections.abc import Callable

import typer

INTERRUPTED = 130


def finish(work: Callable[[], int]) -> None:
    """Do the work and exit with its code; a user's mistake is a message, not a traceback."""
    try:
        from jobs.console import say
        from jobs.errors import JobError
        from renderer.errors import RendererError
        from schemas.checks import TableError

        try:
            code = work()
        except (JobError, RendererError, TableError) as error:
            say(f"error: {error}")
            code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)
