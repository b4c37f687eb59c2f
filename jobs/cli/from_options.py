"""A command made from the dataclass of its options."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from jobs.cli.defaults import PRESET, Preset, use_config, use_preset
from jobs.cli.finish import finishes
from jobs.option import Option, flag


def takes(
    options: type[Any], presets: Mapping[str, Preset] | None = None, preset: str = PRESET
) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """Make a command of a function of such ``options``, which returns the exit code.

    Every field is an option, in their order, those that it has taken over last. The function's further parameters are
    the command's as they are. With ``presets`` there are ``--config`` and ``--preset``, or what else ``preset`` calls
    it, as well: their values stand where the command line gives none.
    """

    def command_of(work: Callable[..., int]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)
        chosen = [_parameter(field, *get_args(hints[field.name])) for field in _own_first(options)]
        others = list(inspect.signature(work).parameters.values())[1:]
        defaults = [] if presets is None else _defaults(presets, preset)

        @finishes
        @wraps(work)
        def command(**values: Any) -> int:
            own = {other.name: values.pop(other.name) for other in others}
            for parameter in defaults:
                del values[parameter.name]
            return work(options(**values), **own)

        parameters = [*others, *chosen, *defaults]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return command_of


def _own_first(options: type[Any]) -> list[Field[Any]]:
    taken_over = {field.name for base in options.__bases__ if is_dataclass(base) for field in fields(base)}
    return sorted(fields(options), key=lambda field: field.name in taken_over)


def _defaults(presets: Mapping[str, Preset], called: str) -> list[inspect.Parameter]:
    """``--config`` and ``--preset``, or as it is ``called``, which are looked at before all others."""

    def choose(context: typer.Context, value: str | None) -> str | None:
        return use_preset(context, value, presets, called)

    names = ", ".join(presets)
    config = typer.Option(
        help="TOML file with values for options; those typed here win.", is_eager=True, callback=use_config
    )
    preset = typer.Option(
        help=f"A set of options for a purpose: {names}.",
        is_eager=True,
        callback=choose,
        autocompletion=lambda: list(presets),
    )
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, shown])
        for name, kind, shown in (("config", Path | None, config), (called, str | None, preset))
    ]


def _parameter(field: Field[Any], hint: Any, option: Option) -> inspect.Parameter:
    """A field as typer takes a parameter."""
    is_switch = field.default is False and not option.negatable
    declarations = [flag(field.name)] if is_switch or field.name.endswith("_") else []
    kind = typer.Argument if option.is_argument else typer.Option
    shown = kind(
        *declarations,
        help=option.help,
        rich_help_panel=option.panel,
        min=option.least,
        autocompletion=_completion(hint),
        show_default=option.shows_default,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[_plain(hint), shown],
    )


def _completion(hint: Any) -> Callable[[], list[str]] | None:
    """What a shell offers for a field that is one of a Literal's values, or several."""
    if get_origin(hint) is Literal:
        return lambda: list(get_args(hint))
    return _completion(get_args(hint)[0]) if get_origin(hint) is Sequence else None


def _plain(hint: Any) -> Any:
    """A field's type as typer knows it. What is no choice of a Literal, the class itself says, as of all its values."""
    if get_origin(hint) is Literal:
        return str
    return list[_plain(get_args(hint)[0])] if get_origin(hint) is Sequence else hint  # type: ignore[misc]
