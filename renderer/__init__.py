"""Performance MIDI and a prompt in, expressive piano audio out: MIDI-VALLE in one process, on one device."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renderer.errors import AudioError, CheckpointError, MidiError, PromptError, RendererError
    from renderer.loudness import Level
    from renderer.render import Renderer
    from renderer.rendering import Rendering, RenderRequest
    from renderer.sampling import Sampling

__all__ = [
    "AudioError",
    "CheckpointError",
    "Level",
    "MidiError",
    "PromptError",
    "RenderRequest",
    "Renderer",
    "RendererError",
    "Rendering",
    "Sampling",
]

_HOMES = {
    "Level": "loudness",
    "Renderer": "render",
    "RenderRequest": "rendering",
    "Rendering": "rendering",
    "Sampling": "sampling",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: torch takes seconds, which a command's help need not wait."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
