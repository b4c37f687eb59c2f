"""What measures need beyond the renderer's own dependencies."""

import importlib
from typing import Any

from renderer.errors import RendererError


class MissingExtraError(RendererError):
    """A measure was asked for whose package is not installed."""


def optional_import(module: str, needed_for: str, install: str = "pip install 'render-corpus[evaluation]'") -> Any:
    """Import a module that only some measures need; MissingExtraError says for what, and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{needed_for} needs the package {module.partition('.')[0]}: {install}") from error
