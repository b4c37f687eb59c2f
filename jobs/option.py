"""An option of a command, on the field of the dataclass that holds it: what help says of it, and what it may be.

A command is made from such a dataclass (jobs/cli/from_options.py), so that an option stands once. These files import
nothing slow: a command's help waits for them.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jobs.errors import JobError


@dataclass(frozen=True)
class Option:
    """The metadata of a field, as ``limit: Annotated[int | None, Option("Only the first N rows.", INPUT)] = None``.

    ``panel`` is the part of the help in which it stands, ``least`` what the command line takes at least. A bool that is
    False has ``--name`` alone if it is not ``negatable``; every other has ``--no-name`` as well.
    """

    help: str | None
    panel: str | None = None
    least: float | None = None
    negatable: bool = False
    is_argument: bool = False
    shows_default: bool = True


def flag(name: str) -> str:
    """A field's name as it is typed: ``--top-k``; ``as_``, a word of Python, is ``--as``."""
    return "--" + name.rstrip("_").replace("_", "-")


def check_choice(options: object, *names: str) -> None:
    """JobError if a field, or an entry of it, is none of those that its type, a Literal, names."""
    for name in names:
        choices, value = _choices(get_type_hints(type(options))[name]), getattr(options, name)
        for chosen in [value] if isinstance(value, str) else value:
            if chosen not in choices:
                raise JobError(f"{flag(name)} is {chosen!r}; it must be one of {', '.join(choices)}")


def check_at_least(options: object, least: int, *names: str) -> None:
    """JobError if a field is less; None is not."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < least:
            raise JobError(f"{flag(name)} is {value}; it must be {least} or more")


def common_values(cls: Any, source: object) -> dict[str, Any]:
    """The values of a dataclass' fields that ``source`` has under the same names, to make one of the other."""
    return {field.name: getattr(source, field.name) for field in fields(cls) if hasattr(source, field.name)}


def _choices(hint: Any) -> tuple[str, ...]:
    """The values of a Literal, or of a sequence of it."""
    return get_args(hint) if get_origin(hint) is Literal else _choices(get_args(hint)[0])
