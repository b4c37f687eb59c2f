"""Whether it can be heard where the segments of a rendering were joined."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.audio.loudness import root_mean_square
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
    time = np.asarray((np.arange(len(samples) // round(HOP_SECONDS * sample_rate)) + 0.5) * HOP_SECONDS, np.float64)
    flux = spectral_flux(samples, sample_rate, ~_around_onsets(time, notes))
    at_joint = [_largest(flux[(time >= joint - crossfade - 0.005) & (time <= joint + 0.015)]) for joint in joints]
    length = round((crossfade + 0.02) / HOP_SECONDS)
    for joint in joints:
        flux[(time >= joint - crossfade - 0.005) & (time <= joint + 0.015)] = np.nan
    stretches = flux[: len(flux) // length * length].reshape(-1, length)
    elsewhere = np.where(np.isnan(stretches), -np.inf, stretches).max(axis=1)
    elsewhere = elsewhere[np.isfinite(elsewhere)].astype(np.float64)
    heard = [value for value in at_joint if np.isfinite(value)]
    if not heard or not len(elsewhere):
        return float("nan")
    return float(max(heard) / max(np.percentile(elsewhere, 95), 1e-6))


def spectral_flux(samples: FloatSamples, sample_rate: int, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Growth of the magnitudes, compressed, over one window, of a mean level's: (T,), one every ``HOP_SECONDS``.

    Only where it is ``wanted`` (T,), and else NaN: in dense music that is a small part.
    """
    window, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    audio = np.pad(np.asarray(samples, np.float32), window)
    level = root_mean_square(samples) * math.sqrt(len(samples) / len(audio))
    hann = torch.hann_window(window) * (_COMPRESSION / window / max(level, 1e-6))
    frames, lag = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop], window // hop
    flux = np.full(len(wanted), np.nan, np.float32)
    places = np.flatnonzero(wanted)
    for first in range(0, len(places), _FRAMES_AT_ONCE):
        some = places[first : first + _FRAMES_AT_ONCE]
        needed, at = np.unique([some, some + lag], return_inverse=True)
        before, after = torch.from_numpy(at.reshape(2, -1))
        magnitude = power_spectrum(torch.from_numpy(frames[needed]), hann).sqrt_().log1p_()
        growth = magnitude.index_select(0, after) - magnitude.index_select(0, before)
        flux[some] = growth.clamp_(min=0).mean(dim=1).numpy()
    return flux


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
