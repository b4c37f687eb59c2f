"""What a piano is to the rest of the project, and how loud it is made."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from renderer.pianos.voicing import AS_RECORDED, Voicing

SAMPLE_RATE = 32_000
"""Samples per second of all that a sampled piano plays: the rate of the codecs."""

REFERENCE_LEVEL = 0.02
"""The root mean square of the reference notes on every piano: what is loud then seldom reaches full scale."""

_REFERENCE_KEYS = (36, 45, 54, 63, 72, 81)
REFERENCE_VELOCITY = 80
_SECONDS_EACH = 2.0


class Piano(Protocol):
    """Plays notes dry, as if close by. All pianos are equally loud."""

    def play(self, notes: Notes, samples: int, voicing: Voicing = AS_RECORDED) -> FloatSamples:
        """Float32 (samples,) at ``SAMPLE_RATE``; a note's sound rises within some ms of its onset.

        Of the voicing, the noises of the action are left out.
        """
        ...


def reference_gain(play: Callable[[Notes, int], FloatSamples]) -> float:
    """The factor that makes a piano as loud as all others: some notes over the keyboard, by their mean power."""
    onset = np.arange(len(_REFERENCE_KEYS)) * _SECONDS_EACH
    velocity = np.full(len(_REFERENCE_KEYS), REFERENCE_VELOCITY)
    notes = Notes.of(onset, onset + 0.5 * _SECONDS_EACH, _REFERENCE_KEYS, velocity)
    audio = play(notes, round(len(_REFERENCE_KEYS) * _SECONDS_EACH * SAMPLE_RATE))
    return REFERENCE_LEVEL / float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
