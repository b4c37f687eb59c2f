"""How long a room sounds on: from what decays while no key is held, as where all notes end or after the last one."""

from collections.abc import Iterator

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray, Notes
from renderer.quality.power_spectrum import power_spectrum

_WINDOW_SECONDS, _HOP_SECONDS = 0.032, 0.008
_BAND_HZ = (250.0, 8000.0)
_FRAMES_AT_ONCE = 1024
_DAMPED_SECONDS = 0.05
"""So long after the last release the dampers are still falling."""

_BEFORE_ONSET_SECONDS = 0.04
_FALL_DB, _LEAST_FALL_DB, _ABOVE_FLOOR_DB = 30.0, 10.0, 10.0
_LEAST_FRAMES = 10
_SILENT_POWER = 1e-12


def free_decay(samples: FloatSamples, sample_rate: int, notes: Notes) -> float:
    """Seconds in which free sound falls by 60 dB: the median over the places where no key is held; NaN without any.

    A line is fitted to the level between 250 Hz and 8 kHz while it falls by at most 30 dB and is 10 dB above the
    quietest moment; where that is less than 10 dB or 80 ms, nothing is said. Dampers and strings that sound on count
    too, so compare with the same notes in a recording. Notes count from the first sample.
    """
    level = _level(samples, sample_rate)
    floor = _quietest(level) + _ABOVE_FLOOR_DB
    found = []
    for start, stop in _free_stretches(notes, len(samples) / sample_rate):
        first, last = np.ceil(start / _HOP_SECONDS), np.floor(stop / _HOP_SECONDS)
        seconds = _fall(level[int(first) : int(max(first, last))], floor)
        if np.isfinite(seconds):
            found.append(seconds)
    return float(np.median(found)) if found else float("nan")


def _free_stretches(notes: Notes, seconds: float) -> Iterator[tuple[float, float]]:
    """From when all dampers have fallen to shortly before the next onset, or to the end."""
    if not len(notes):
        return
    order = np.argsort(notes.onset, kind="stable")
    released = np.maximum.accumulate(notes.offset[order])
    struck = np.append(notes.onset[order][1:] - _BEFORE_ONSET_SECONDS, seconds)
    for start, stop in zip((released + _DAMPED_SECONDS).tolist(), struck.tolist(), strict=True):
        if 0 <= start < stop:
            yield start, stop


def _fall(level: FloatArray, floor: float) -> float:
    """Seconds for 60 dB of the first fall in a stretch of levels, NaN if too little of one is heard."""
    if not len(level):
        return float("nan")
    low = np.flatnonzero(level < max(level[0] - _FALL_DB, floor))
    heard = level[: low[0]] if len(low) else level
    if len(heard) < _LEAST_FRAMES or heard[0] - heard[-1] < _LEAST_FALL_DB:
        return float("nan")
    slope = np.polyfit(np.arange(len(heard)) * _HOP_SECONDS, heard, 1)[0]
    return float(-60.0 / slope) if slope < 0 else float("nan")


def _quietest(level: FloatArray) -> float:
    """The lowest level in the mean over ten frames."""
    width = min(len(level), _LEAST_FRAMES)
    return float(np.convolve(level, np.full(width, 1 / width), "valid").min())


def _level(samples: FloatSamples, sample_rate: int) -> FloatArray:
    """In dB, of frames centred on multiples of the hop: (T,)."""
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    audio = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    frames = torch.nn.functional.pad(audio, (window // 2, window // 2)).unfold(0, window, hop)
    frequency = np.fft.rfftfreq(window, 1 / sample_rate)
    inside = torch.from_numpy((frequency >= _BAND_HZ[0]) & (frequency < _BAND_HZ[1]))
    hann = torch.hann_window(window) * (2 / window)
    power = [power_spectrum(part, hann)[:, inside].double().sum(dim=1) for part in frames.split(_FRAMES_AT_ONCE)]
    return np.asarray(10 * np.log10(torch.cat(power).numpy() + _SILENT_POWER))
