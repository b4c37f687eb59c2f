"""Performance MIDI and a prompt in, expressive piano audio out: MIDI-VALLE in one process, on one device."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renderer.audio.loudness import Level
    from renderer.codes_decoder import CodesDecoder
    from renderer.decoding.sampling import Sampling
    from renderer.errors import AudioError, CheckpointError, MidiError, PromptError, RendererError
    from renderer.renderer import Renderer
    from renderer.rendering import Rendering, RenderRequest

__all__ = [
    "AudioError",
    "CheckpointError",
    "CodesDecoder",
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
    "CodesDecoder": "codes_decoder",
    "Level": "audio.loudness",
    "Renderer": "renderer",
    "RenderRequest": "rendering",
    "Rendering": "rendering",
    "Sampling": "decoding.sampling",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: torch takes seconds, which a command's help need not wait."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
