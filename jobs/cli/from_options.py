"""A command made from the dataclass of its options."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from jobs.cli.finish import finishes
from jobs.option import Option, flag


def takes(options: type[Any]) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """Make a command of a function of such ``options``, which returns the exit code.

    Every field is an option, in their order, those that it has taken over last. The function's further parameters are
    the command's as they are.
    """

    def command_of(work: Callable[..., int]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)
        chosen = [_parameter(field, *get_args(hints[field.name])) for field in _own_first(options)]
        others = list(inspect.signature(work).parameters.values())[1:]

        @finishes
        @wraps(work)
        def command(**values: Any) -> int:
            own = {other.name: values.pop(other.name) for other in others}
            return work(options(**values), **own)

        command.__signature__ = inspect.Signature([*others, *chosen])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*others, *chosen)}
        return command

    return command_of


def _own_first(options: type[Any]) -> list[Field[Any]]:
    taken_over = {field.name for base in options.__bases__ if is_dataclass(base) for field in fields(base)}
    return sorted(fields(options), key=lambda field: field.name in taken_over)


def _parameter(field: Field[Any], hint: Any, option: Option) -> inspect.Parameter:
    """A field as typer takes a parameter."""
    declarations = [flag(field.name)] if field.default is False and not option.negatable else []
    kind = typer.Argument if option.is_argument else typer.Option
    shown = kind(
        *declarations,
        help=option.help,
        rich_help_panel=option.panel,
        min=option.least,
        show_default=option.shows_default,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[_plain(hint), shown],
    )


def _plain(hint: Any) -> Any:
    """A field's type as typer knows it. What is no choice of a Literal, the class itself says, as of all its values."""
    if get_origin(hint) is Literal:
        return str
    return list[_plain(get_args(hint)[0])] if get_origin(hint) is Sequence else hint  # type: ignore[misc]
