"""Performance MIDI and a prompt in, expressive piano audio out: MIDI-VALLE in one process, on one device."""

from renderer.errors import AudioError, CheckpointError, MidiError, PromptError, RendererError
from renderer.render import Renderer, Rendering, RenderRequest
from renderer.sampling import Sampling

__all__ = [
    "AudioError",
    "CheckpointError",
    "MidiError",
    "PromptError",
    "RenderRequest",
    "Renderer",
    "RendererError",
    "Rendering",
    "Sampling",
]
