"""``--config`` and ``--preset``: values that a command's options have where the command line gives none."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from jobs.option import flag

PRESET = "preset"

Preset = Mapping[str, object]


def use_config(context: typer.Context, path: Path | None) -> Path | None:
    """Let the entries of a TOML file stand where the command line gives nothing; the callback of ``--config``."""
    if path is not None:
        known = [parameter.name for parameter in context.command.params if parameter.name]
        context.default_map = {**(context.default_map or {}), **read_config(path, known)}
    return path


def use_preset(
    context: typer.Context, name: str | None, presets: Mapping[str, Preset], called: str = PRESET
) -> str | None:
    """Let a preset's values stand where neither command line nor configuration gives any."""
    if name is None:
        return None
    if name not in presets:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(presets)}.", param_hint=flag(called))
    context.default_map = {**presets[name], **(context.default_map or {})}
    return name


def read_config(path: Path, known: list[str]) -> dict[str, Any]:
    """The entries of a TOML file, by parameter; typer.BadParameter if it cannot be read or names no known option."""
    try:
        entries = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--config") from None
    values = {name.replace("-", "_"): value for name, value in entries.items()}
    for name, value in values.items():
        if name not in known or name == "config":
            raise typer.BadParameter(f"{path}: there is no option {flag(name)}", param_hint="--config")
        if isinstance(value, dict):
            raise typer.BadParameter(f"{path}: {name} is a table; give {flag(name)} a value", param_hint="--config")
    return values
