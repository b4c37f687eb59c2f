"""Transcribers: what turns audio back into notes."""

from collections.abc import Callable, Mapping
from typing import Protocol

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes


class Transcriber(Protocol):
    """Hears notes in piano audio."""

    def transcribe(self, samples: FloatSamples, sample_rate: int) -> Notes:
        """Notes in mono float32 (N,), on its clock."""
        ...


def _transkun() -> Transcriber:
    from renderer.evaluation.transkun import Transkun

    return Transkun()


def _basic_pitch() -> Transcriber:
    from renderer.evaluation.basic_pitch import BasicPitch

    return BasicPitch()


TRANSCRIBERS: Mapping[str, Callable[[], Transcriber]] = {"transkun": _transkun, "basic-pitch": _basic_pitch}
"""The transcribers by name; MissingExtraError if the package is not installed."""
