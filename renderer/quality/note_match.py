"""Whether a rendering plays its notes: a light detector of onsets that knows which notes to look for.

It asks two things. Is a note found: do its partials rise at its onset, and stand out from what lies between them?
And is what is struck explained: how much of all that rises, anywhere, belongs to a partial of a note that begins
there? The first falls with missing, late and wrong notes, the second with notes that nobody asked for. Notes an
octave apart share partials, so one of them can pass for the other: a transcriber is stricter, and far slower.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples, resample
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY, FloatArray, IntArray, Notes
from renderer.quality.power_spectrum import power_spectrum

_RATE, _WINDOW, _HOP = 16_000, 2048, 160
FRAMES_PER_SECOND = _RATE // _HOP

_LOWEST, _BANDS = 48, 72
"""Bands of a semitone from C3 up: below, partials of neighbouring keys cannot be distinguished in a short window."""

_FRAMES_AT_ONCE = 256
"""What is in the works is to stay in a core's cache."""

_INHARMONICITY = 3e-4
_PARTIALS_HEARD, _PARTIALS_EXPLAINED = 8, 16
_FOUND_DB = 0.0
_RANGE_DB = 45.0
_NEAR_FRAMES = 150
_SILENT_POWER = 1e-8

# Frames from the onset: where the level before and after a strike is taken, and where strikes are looked for.
_BEFORE, _AFTER, _SEARCHED = (-9, -4), (4, 8), (-2, 3)
_EXPLAINED_FRAMES = (-5, 9)
_RISE_FRAMES = 3
_RECENT_FRAMES = 25
_LEAST_RISE = 1.5
_FIRST_FRAME = 10
"""Where the audio begins in the midst of a sound, that rises out of the zeros before it, but nobody struck it."""


@dataclass(frozen=True)
class NoteMatch:
    """``found``: the share of notes that are found; ``explained``: the share of rising amplitude that notes explain.

    Both are NaN where there are no notes, and the second where nothing rises at all.
    """

    notes: int
    found: float
    explained: float


def match_notes(samples: FloatSamples, sample_rate: int, notes: Notes) -> NoteMatch:
    """Compare mono float32 (N,) with the notes that are struck in it, whose onsets count from its first sample."""
    power = _band_power(resample(samples, sample_rate, _RATE))
    onset = np.rint(notes.onset * _RATE / _HOP).astype(np.int64)
    inside = (onset >= 0) & (onset < power.shape[1])
    onset, pitch = onset[inside], notes.pitch[inside]
    found = _prominence(_strength(power), onset, pitch) > _FOUND_DB
    return NoteMatch(len(pitch), float(found.mean()) if len(found) else float("nan"), _explained(power, onset, pitch))


def match_shifted(
    samples: FloatSamples, sample_rate: int, notes: Notes, shifts: FloatArray
) -> tuple[IntArray, IntArray]:
    """How many notes begin inside the audio if all are shifted by some seconds, and how many of them are found: (S,).

    As in :func:`match_notes`; near the ends of the audio, where a strike cannot be seen whole, none is looked for.
    """
    strength = _strength(_band_power(resample(samples, sample_rate, _RATE)))
    inside, found = np.zeros(len(shifts), np.int64), np.zeros(len(shifts), np.int64)
    first, last = _FIRST_FRAME, strength.shape[1] - _FIRST_FRAME
    for place, shift in enumerate(shifts):
        onset = np.rint((notes.onset + shift) * _RATE / _HOP).astype(np.int64)
        seen = (onset >= first) & (onset < last)
        inside[place] = seen.sum()
        found[place] = (_prominence(strength, onset[seen], notes.pitch[seen]) > _FOUND_DB).sum()
    return inside, found


def key_onsets(samples: FloatSamples, sample_rate: int) -> FloatArray:
    """How far each of the 88 keys' partials rise and stand out at every frame, in dB, in their mean: (88, T).

    A strike stands out in the frame of its onset.
    """
    strength = _strength(_band_power(resample(samples, sample_rate, _RATE)))
    bands = _partials(np.arange(LOWEST_KEY, HIGHEST_KEY + 1), _PARTIALS_EXPLAINED)
    heard = (bands >= 2) & (bands < _BANDS - 2)
    heard &= heard.cumsum(axis=1) <= _PARTIALS_HEARD
    weights = np.zeros((len(bands), _BANDS))
    np.add.at(weights, (np.nonzero(heard)[0], bands[heard]), 1.0)
    return np.asarray(weights[:, 2:-2] @ strength[2:-2] / np.maximum(heard.sum(axis=1), 1)[:, None])


def _strength(power: NDArray[np.float32]) -> FloatArray:
    """How far every band rises and stands out at every frame, in dB: (bands, T)."""
    level = 10 * np.log10(power + _SILENT_POWER)
    loudest = _running_maximum(10 * np.log10(power.sum(axis=0) + _SILENT_POWER))
    level = np.maximum(level, loudest - _RANGE_DB)
    before, after = _mean_of(level, *_BEFORE), _mean_of(level, *_AFTER)
    standing = np.full_like(after, -np.inf)
    standing[2:-2] = after[2:-2] - (after[:-4] + after[4:]) / 2
    return np.minimum(after - before, standing)


def _prominence(strength: FloatArray, onset: IntArray, pitch: IntArray) -> FloatArray:
    """How far each note's partials rise and stand out, in dB, in their mean: (N,)."""
    bands = _partials(pitch, _PARTIALS_EXPLAINED)
    heard = (bands >= 2) & (bands < _BANDS - 2)
    heard &= heard.cumsum(axis=1) <= _PARTIALS_HEARD
    frames = (onset[:, None] + np.arange(_SEARCHED[0], _SEARCHED[1] + 1)).clip(0, strength.shape[1] - 1)
    of_notes = strength[np.where(heard, bands, 2)[:, :, None], frames[:, None, :]] * heard[:, :, None]
    count = heard.sum(axis=1)[:, None]
    return np.asarray((of_notes.sum(axis=1) / np.maximum(count, 1)).max(axis=1, initial=-np.inf), np.float64)


def _explained(power: NDArray[np.float32], onset: IntArray, pitch: IntArray) -> float:
    """The share of what rises, in amplitude and at spectral peaks, that is at a partial of a note as it is struck."""
    amplitude = np.sqrt(power)
    if amplitude.shape[1] <= _FIRST_FRAME or not len(pitch):
        return float("nan")
    # What a strike must exceed: the bands beside too, as in the SuperFlux of Boeck and Widmer (2013), as a partial
    # may waver between two; and a quarter of a second, by 3.5 dB, as the sound of a hall rises and falls by itself.
    near = np.maximum(amplitude, np.maximum(_shifted(amplitude, 1), _shifted(amplitude, -1)))
    near = _LEAST_RISE * _recent_maximum(near)
    peak = (amplitude > _shifted(amplitude, 1)) & (amplitude > _shifted(amplitude, -1))
    rise = np.zeros_like(amplitude)
    late, early = slice(2 * _RISE_FRAMES, None), slice(None, -2 * _RISE_FRAMES)
    rise[:, _RISE_FRAMES:-_RISE_FRAMES] = np.maximum(amplitude[:, late] - near[:, early], 0) * peak[:, late]
    rise[:, :_FIRST_FRAME] = 0
    expected = np.zeros(amplitude.shape, np.bool_)
    bands = _partials(pitch, _PARTIALS_EXPLAINED)
    known = (bands >= 0) & (bands < _BANDS)
    frames = (onset[:, None] + np.arange(*_EXPLAINED_FRAMES)).clip(0, amplitude.shape[1] - 1)
    note, partial = np.nonzero(known)
    expected[bands[note, partial][:, None], frames[note]] = True
    whole = float(rise.sum(dtype=np.float64))
    return float(rise[expected].sum(dtype=np.float64)) / whole if whole > 0 else float("nan")


def _partials(pitch: IntArray, count: int) -> IntArray:
    """The bands of each note's partials, stretched as strings are: (N, count); some lie outside the bands."""
    order = np.arange(1, count + 1)
    stretched = 12 * np.log2(order * np.sqrt(1 + _INHARMONICITY * order**2))
    return np.asarray(np.rint(pitch[:, None] + stretched).astype(np.int64) - _LOWEST)


def _band_power(samples: FloatSamples) -> NDArray[np.float32]:
    """Power by band and frame of 10 ms, (bands, T); some frames at a time, as all at once would fill memory."""
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), (_WINDOW // 2, _WINDOW // 2))
    frames = padded.unfold(0, _WINDOW, _HOP)
    return np.concatenate([part.numpy() for part in _powers(frames)]).T


def _powers(frames: torch.Tensor) -> Iterator[torch.Tensor]:
    window = torch.hann_window(_WINDOW) * (2 / _WINDOW)
    for part in frames.split(_FRAMES_AT_ONCE):
        yield power_spectrum(part, window) @ _filterbank().T


@cache
def _filterbank() -> torch.Tensor:
    """Triangles around the keys' frequencies, half a semitone to either side, but wide enough to hold a bin."""
    frequency = np.arange(_WINDOW // 2 + 1) * _RATE / _WINDOW
    centre = 440.0 * 2.0 ** ((np.arange(_LOWEST, _LOWEST + _BANDS) - 69) / 12)
    half_width = np.maximum(centre * (2 ** (1 / 24) - 2 ** (-1 / 24)), 1.2 * _RATE / _WINDOW)
    triangles = np.maximum(0.0, 1.0 - np.abs(frequency - centre[:, None]) / half_width[:, None])
    return torch.from_numpy(triangles.astype(np.float32))


def _running_maximum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of the frames around each: what is loud elsewhere does not hide what is soft here."""
    spread = functional.max_pool1d(torch.from_numpy(values)[None], 2 * _NEAR_FRAMES + 1, 1, _NEAR_FRAMES)
    return np.asarray(spread[0].numpy())


def _recent_maximum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of each frame and those before it."""
    padded = functional.pad(torch.from_numpy(values)[None], (_RECENT_FRAMES, 0))
    return np.asarray(functional.max_pool1d(padded, _RECENT_FRAMES + 1, 1)[0].numpy())


def _mean_of(level: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
    """For every frame the mean over the frames from ``first`` to ``last`` behind it; the edges go on for ever."""
    padded = np.pad(level, ((0, 0), (max(0, -first), max(0, last))), mode="edge")
    total = np.pad(np.cumsum(padded, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    count, begin = last - first + 1, first + max(0, -first)
    frames = level.shape[1]
    return np.asarray((total[:, begin + count : begin + count + frames] - total[:, begin : begin + frames]) / count)


def _shifted(values: NDArray[np.float32], bands: int) -> NDArray[np.float32]:
    """The bands beside: zeros beyond the last."""
    moved = np.zeros_like(values)
    if bands > 0:
        moved[bands:] = values[:-bands]
    else:
        moved[:bands] = values[-bands:]
    return moved
