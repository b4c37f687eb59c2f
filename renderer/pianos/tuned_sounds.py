"""A bank's sounds at the pitches of a tuning, for as long as one performance is played."""

import math

import numpy as np
import numpy.typing as npt

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray
from renderer.pianos.bank import Bank
from renderer.pianos.piano import SAMPLE_RATE


class TunedSounds:
    """Sounds ``2 ** (cents / 1200)`` times as high as in the bank, each resampled once, as far as it is needed.

    ``cents`` (128,) are those of every MIDI key.
    """

    def __init__(self, bank: Bank, cents: FloatArray) -> None:
        self._bank = bank
        self._ratios = (2 ** (cents / 1200)).tolist()
        self._made: dict[int, FloatSamples] = {}

    def get(self, sound: int, samples: int, gain: float) -> FloatSamples:
        """A copy of at most so many samples of a sound of the bank, at its key's pitch and this gain."""
        ratio = self._ratios[int(self._bank.key[sound])]
        part = self._recorded(sound, samples) if ratio == 1 else self._resampled(sound, samples, ratio)
        return part * np.float32(gain * self._bank.scale[sound])

    def _recorded(self, sound: int, samples: int) -> npt.NDArray[np.int16]:
        start = int(self._bank.start[sound])
        return self._bank.audio[start : start + min(samples, int(self._bank.length[sound]))]

    def _resampled(self, sound: int, samples: int, ratio: float) -> FloatSamples:
        made = self._made.get(sound)
        samples = min(samples, int(self._bank.length[sound] / ratio))
        if made is None or len(made) < samples:
            import soxr

            # Twice as much as there was: what is needed seldom grows more than once.
            wanted = samples if made is None else max(samples, 2 * len(made))
            recorded = self._recorded(sound, math.ceil(wanted * ratio)).astype(np.float32)
            made = self._made[sound] = soxr.resample(recorded, SAMPLE_RATE * ratio, SAMPLE_RATE, quality="HQ")
        return made[:samples]
