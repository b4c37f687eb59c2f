"""What can be wrong with what a user gives the renderer.

Every message says what was wrong, where, and what to do. Anything that is not one of these is a fault of ours.
"""


class RendererError(Exception):
    """Base of all errors that a user's input can cause."""


class MidiError(RendererError):
    """A MIDI file that cannot be rendered: unreadable, empty, or beyond the limits."""


class AudioError(RendererError):
    """An audio file that cannot be read or written."""


class PromptError(RendererError):
    """A prompt that cannot be used: unknown, too short, silent, or not aligned with its MIDI."""


class CheckpointError(RendererError):
    """Model files that are missing, truncated, or not what they claim to be."""


class TrainingError(RendererError):
    """A training that cannot begin or go on because of what it was given, or what its folder holds."""
