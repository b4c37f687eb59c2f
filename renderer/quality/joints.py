"""Whether it can be heard where the segments of a rendering were joined."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray, Notes
from renderer.quality.power_spectrum import power_spectrum
from renderer.segments import SegmentLimits, plan_segments

WINDOW_SECONDS, HOP_SECONDS = 0.016, 0.004
ONSET_SECONDS = (0.03, 0.1)
"""So long before and after a note's onset the spectrum changes anyway."""

_COMPRESSION = 100.0
_FRAMES_AT_ONCE = 512


def joints_of(notes: Notes, duration: float, frame_rate: int, limits: SegmentLimits) -> FloatArray:
    """Where a rendering of ``duration`` seconds goes from one segment to the next: (joints,) seconds.

    The cross-fade ends there, ``limits.crossfade`` frames long.
    """
    frames = int(np.ceil(round(duration * frame_rate, 6)))
    cuts = [segment.keep for segment in plan_segments(notes, frames, frame_rate, limits)]
    return np.asarray(cuts[1:], np.float64) / frame_rate


def joint_prominence(
    samples: FloatSamples, sample_rate: int, notes: Notes, joints: FloatArray, crossfade: float = 0.1
) -> float:
    """How much more the spectrum changes at the worst joint than it does elsewhere, between notes; 1: no more.

    The spectral flux at a joint is the largest from the beginning of its cross-fade, ``crossfade`` seconds before
    it, until just after it. Elsewhere it is the 95th percentile of the same over all stretches as long. What lies
    around onsets counts for neither. NaN where there is no joint, or onsets hide all of them.
    """
    flux = spectral_flux(samples, sample_rate)
    time = np.asarray((np.arange(len(flux)) + 0.5) * HOP_SECONDS, np.float64)
    flux = np.where(_around_onsets(time, notes), np.nan, flux)
    at_joint = [_largest(flux[(time >= joint - crossfade - 0.005) & (time <= joint + 0.015)]) for joint in joints]
    length = round((crossfade + 0.02) / HOP_SECONDS)
    for joint in joints:
        flux[(time >= joint - crossfade - 0.005) & (time <= joint + 0.015)] = np.nan
    stretches = flux[: len(flux) // length * length].reshape(-1, length)
    elsewhere = [value for value in map(_largest, stretches) if np.isfinite(value)]
    heard = [value for value in at_joint if np.isfinite(value)]
    if not heard or not elsewhere:
        return float("nan")
    return float(max(heard) / max(np.percentile(elsewhere, 95), 1e-6))


def spectral_flux(samples: FloatSamples, sample_rate: int) -> NDArray[np.float32]:
    """Growth of the magnitudes, compressed, over one window: (T,), one every ``HOP_SECONDS``, of a mean level's."""
    window, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    audio = functional.pad(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), (window, window))
    audio = audio / audio.square().mean().sqrt().clamp(min=1e-6)
    frames = audio.unfold(0, window, hop)
    lag = window // hop
    growth = [
        _growth(frames[start : start + _FRAMES_AT_ONCE + lag], lag)
        for start in range(0, len(frames) - lag, _FRAMES_AT_ONCE)
    ]
    return np.asarray(torch.cat(growth)[: len(samples) // hop].numpy())


def _growth(frames: torch.Tensor, lag: int) -> torch.Tensor:
    """The growth of each frame (T, window) but the first ``lag`` over the one ``lag`` before it: (T - lag,)."""
    window = frames.shape[1]
    magnitude = power_spectrum(frames, torch.hann_window(window) * (_COMPRESSION / window)).sqrt_().log1p_()
    return (magnitude[lag:] - magnitude[:-lag]).clamp_(min=0).mean(dim=1)


def _around_onsets(time: FloatArray, notes: Notes) -> NDArray[np.bool_]:
    before, after = ONSET_SECONDS
    first = np.searchsorted(time, notes.onset - before)
    last = np.searchsorted(time, notes.onset + after)
    change = np.zeros(len(time) + 1)
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    return np.asarray(np.cumsum(change[:-1]) > 0)


def _largest(values: NDArray[np.float32]) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else float("nan")
