"""How loud a rendering is made: one gain for the whole piece, so that its dynamics stay as they were played."""

import math
from dataclasses import dataclass

import numpy as np

from renderer.audio.audio_file import FloatSamples

SHORTEST_SECONDS = 0.4
"""A gating block of ITU-R BS.1770: what is shorter has no loudness."""

QUIETEST, LOUDEST = -60.0, 0.0


@dataclass(frozen=True)
class Gain:
    """A gain in dB; ``reason`` says why the level asked for is not reached by it, and is None where it is."""

    db: float = 0.0
    reason: str | None = None

    def apply(self, samples: FloatSamples) -> FloatSamples:
        """The samples, float32 (N,), times the gain; in double precision, so that a peak is met to the bit."""
        if not self.db:
            return samples
        factor = 10 ** (self.db / 20)
        return np.multiply(samples, factor, out=np.empty_like(samples), dtype=np.float64, casting="same_kind")


@dataclass(frozen=True)
class Level:
    """The level that audio is brought to.

    ``loudness`` is the integrated loudness in LUFS (ITU-R BS.1770-4, as one channel), ``peak`` the largest sample
    in dBFS. With both, the loudness is reached as far as the peak allows; with neither, nothing is changed.
    ValueError for levels outside -60 to 0.
    """

    loudness: float | None = None
    peak: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("loudness", self.loudness), ("peak", self.peak)):
            if value is not None and not QUIETEST <= value <= LOUDEST:
                raise ValueError(f"{name} is {value:g}; it must be {QUIETEST:g} to {LOUDEST:g} dB, or off")

    def gain(self, samples: FloatSamples, sample_rate: int) -> Gain:
        """What brings float32 (N,), N >= 1, to this level; 0 dB where no gain can, with the reason."""
        if self.loudness is None and self.peak is None:
            return Gain()
        highest = largest(samples)
        if not highest > 0 or not math.isfinite(highest):
            return Gain(0.0, "silent" if highest == 0 else "samples that are not numbers")
        headroom = math.inf if self.peak is None else self.peak - 20 * math.log10(highest)
        if self.loudness is None:
            return Gain(headroom)
        gain = _loudness_gain(samples, sample_rate, self.loudness)
        if headroom < gain.db:
            return Gain(headroom, gain.reason or "held back by the peak")
        return gain


def largest(samples: FloatSamples) -> float:
    """The largest absolute sample of (N,); 0 where there is none."""
    return float(max(samples.max(initial=0.0), -samples.min(initial=0.0)))


def root_mean_square(samples: FloatSamples) -> float:
    """The level of samples (N,)."""
    # In blocks, because an hour of squares in double precision would be a gigabyte.
    blocks = np.array_split(samples, len(samples) // 65_536 + 1) if len(samples) >= 65_536 else [samples]
    energy = math.fsum(float(np.dot(block, block)) for block in blocks)
    return math.sqrt(energy / max(len(samples), 1))


def _loudness_gain(samples: FloatSamples, sample_rate: int, wanted: float) -> Gain:
    if len(samples) < SHORTEST_SECONDS * sample_rate:
        return Gain(0.0, f"shorter than {SHORTEST_SECONDS} s")
    import pyloudnorm  # With SciPy, which is large: only for those who ask for a loudness.

    measured = float(pyloudnorm.Meter(sample_rate).integrated_loudness(samples))
    return Gain(wanted - measured) if math.isfinite(measured) else Gain(0.0, "quieter than -70 LUFS")
