"""How every command ends."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

INTERRUPTED = 130

Given = ParamSpec("Given")


def finishes(work: Callable[Given, int]) -> Callable[Given, None]:
    """The command that does the work and exits with its code; a user's mistake is a message, not a traceback."""

    @wraps(work)
    def command(*args: Given.args, **kwargs: Given.kwargs) -> None:
        try:
            from jobs.console import say
            from jobs.errors import JobError
            from renderer.errors import RendererError
            from schemas.checks import TableError

            try:
                code = work(*args, **kwargs)
            except (JobError, RendererError, TableError) as error:
                say(f"error: {error}")
                code = 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = INTERRUPTED
        raise typer.Exit(code)

    return command
