"""How bright a rendering is: its level in every octave beside that of a recording, at an equal level as a whole."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import BoolArray, FloatArray
from renderer.quality.power_spectrum import power_spectrum

LOWEST_HZ, OCTAVES = 31.25, 9
"""Octaves from 31.25 Hz up: the last is from 8 to 16 kHz."""

BRIGHT_HZ = 4000.0
_WINDOW_SECONDS = 0.128
_FRAMES_AT_ONCE = 256
_LEAST_POWER = 1e-10


@dataclass(frozen=True, eq=False)
class LevelDifferences:
    """Of a rendering against a recording, in dB: the ``level`` of all octaves together, and what is left beside it.

    ``octaves`` (9,) and ``bright``, all above 4 kHz, are differences at an equal level; NaN above either's Nyquist.
    """

    level: float
    octaves: FloatArray
    bright: float


@dataclass(frozen=True, eq=False)
class OctaveLevels:
    """The mean power of audio in every octave: (9,) float64, NaN for what its rate does not hold whole."""

    power: FloatArray

    @classmethod
    def of(cls, samples: FloatSamples, sample_rate: int) -> "OctaveLevels":
        """Of mono float32 (N,)."""
        window = round(_WINDOW_SECONDS * sample_rate)
        audio = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
        frames = torch.nn.functional.pad(audio, (0, max(0, window - len(audio)))).unfold(0, window, window // 2)
        hann = torch.hann_window(window)
        total = sum(power_spectrum(part, hann).double().sum(dim=0) for part in frames.split(_FRAMES_AT_ONCE))
        bins = np.asarray(total) / len(frames) * 2 / (window * float(hann.square().sum()))
        power = _filters(window, sample_rate) @ bins
        edges = LOWEST_HZ * 2.0 ** np.arange(1, OCTAVES + 1)
        return cls(np.where(edges <= sample_rate / 2, power, np.nan))

    def against(self, recording: "OctaveLevels") -> LevelDifferences:
        """How much louder these are than a recording's. What is below -100 dBFS counts as that."""
        known = np.isfinite(self.power) & np.isfinite(recording.power)
        high = known & (LOWEST_HZ * 2.0 ** np.arange(OCTAVES) >= BRIGHT_HZ)
        level = self._louder(recording, known)
        bright = self._louder(recording, high) - level if high.any() else float("nan")
        return LevelDifferences(level, _decibels(self.power) - _decibels(recording.power) - level, bright)

    def _louder(self, recording: "OctaveLevels", octaves: BoolArray) -> float:
        """The difference in dB of some octaves together."""
        ours, theirs = (np.array([each.power[octaves].sum()]) for each in (self, recording))
        return float((_decibels(ours) - _decibels(theirs))[0])


def _decibels(power: FloatArray) -> FloatArray:
    return np.asarray(10 * np.log10(np.maximum(power, _LEAST_POWER)))


@cache
def _filters(window: int, sample_rate: int) -> FloatArray:
    """Which bins are of which octave: (9, bins) of 0 and 1."""
    frequency = np.fft.rfftfreq(window, 1 / sample_rate)
    lower = LOWEST_HZ * 2.0 ** np.arange(OCTAVES)[:, None]
    return np.asarray((frequency >= lower) & (frequency < 2 * lower), np.float64)
