"""Whether a rendering plays its notes: a light detector of onsets that knows which notes to look for.

It asks two things. Is a note found: do its partials rise at its onset, and stand out from what lies between them?
And is what is struck explained: how much of all that rises, anywhere, belongs to a partial of a note that begins
there? The first falls with missing, late and wrong notes, the second with notes that nobody asked for. Notes an
octave apart share partials, so one of them can pass for the other: a transcriber is stricter, and far slower.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples, resample
from renderer.midi.notes import HIGHEST_KEY, KEYS, LOWEST_KEY, BoolArray, FloatArray, IntArray, Notes

_Float32 = NDArray[np.float32]

_RATE, _WINDOW, _HOP = 16_000, 2048, 160
FRAMES_PER_SECOND = _RATE // _HOP

_LOWEST, _BANDS = 48, 72
"""Bands of a semitone from C3 up: below, partials of neighbouring keys cannot be distinguished in a short window."""

_FRAMES_AT_ONCE = 256
"""What is in the works is to stay in a core's cache."""

_BANDS_AT_ONCE = 12

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
    inside = (onset >= 0) & (onset < len(power))
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
    first, last = _FIRST_FRAME, len(strength) - _FIRST_FRAME
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
    bands, heard = _partials(), _heard()
    weights = np.zeros((KEYS, _BANDS))
    key, partial = np.nonzero(heard[LOWEST_KEY : HIGHEST_KEY + 1])
    np.add.at(weights, (key, bands[LOWEST_KEY + key, partial]), 1.0)
    count = np.maximum(heard[LOWEST_KEY : HIGHEST_KEY + 1].sum(axis=1), 1)
    return np.asarray(weights[:, 2:-2] @ strength[:, 2:-2].T / count[:, None])


# A worker measures in threads of one process, as fast as a device renders. What is as long as the audio lies frame by
# frame, (T, bands), and is worked on in single precision by few operations of NumPy's, each of which leaves the
# interpreter to others once; most of torch's leave it three times, which takes longer than what they do.


def _strength(power: _Float32) -> _Float32:
    """How far every band rises and stands out at every frame, in dB: (T, bands)."""
    level = _decibels(power)
    loudest = _running_maximum(_decibels(power.sum(axis=1)))
    np.maximum(level, (loudest - np.float32(_RANGE_DB))[:, None], out=level)
    before, after = _mean_of(level, *_BEFORE), _mean_of(level, *_AFTER)
    standing = after[:, :-4] + after[:, 4:]
    standing *= np.float32(-0.5)
    standing += after[:, 2:-2]
    strength = np.full_like(level, -np.inf)
    np.subtract(after, before, out=after)
    np.minimum(after[:, 2:-2], standing, out=strength[:, 2:-2])
    return strength


def _prominence(strength: _Float32, onset: IntArray, pitch: IntArray) -> FloatArray:
    """How far each note's partials rise and stand out, in dB, in their mean: (N,)."""
    heard = _heard()[pitch]
    frames = (onset[:, None] + np.arange(_SEARCHED[0], _SEARCHED[1] + 1)).clip(0, len(strength) - 1)
    of_notes = strength[frames[:, None, :], np.where(heard, _partials()[pitch], 2)[:, :, None]] * heard[:, :, None]
    count = heard.sum(axis=1)[:, None]
    mean = of_notes.sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    return np.asarray(mean.max(axis=1, initial=-np.inf), np.float64)


def _explained(power: _Float32, onset: IntArray, pitch: IntArray) -> float:
    """The share of what rises, in amplitude and at spectral peaks, that is at a partial of a note as it is struck."""
    if len(power) <= _FIRST_FRAME or not len(pitch):
        return float("nan")
    amplitude = np.sqrt(power)
    beside = np.zeros_like(amplitude)
    beside[:, 1:] = amplitude[:, :-1]
    np.maximum(beside[:, :-1], amplitude[:, 1:], out=beside[:, :-1])
    peak = amplitude > beside
    # What a strike must exceed: the bands beside too, as in the SuperFlux of Boeck and Widmer (2013), as a partial
    # may waver between two; and a quarter of a second, by 3.5 dB, as the sound of a hall rises and falls by itself.
    near = _recent_maximum(np.maximum(amplitude, beside, out=beside))
    near *= np.float32(_LEAST_RISE)
    rise = amplitude[2 * _RISE_FRAMES :] - near[: -2 * _RISE_FRAMES]
    np.maximum(rise, 0, out=rise)
    rise *= peak[2 * _RISE_FRAMES :]
    rise = rise[_FIRST_FRAME - _RISE_FRAMES :]
    expected = np.zeros((len(power), _BANDS), np.bool_)
    bands = _partials()[pitch]
    note, partial = np.nonzero((bands >= 0) & (bands < _BANDS))
    frames = (onset[:, None] + np.arange(*_EXPLAINED_FRAMES)).clip(0, len(power) - 1)
    expected[frames[note], bands[note, partial][:, None]] = True
    whole = float(rise.sum(dtype=np.float64))
    rise *= expected[_FIRST_FRAME : len(power) - _RISE_FRAMES]
    return float(rise.sum(dtype=np.float64)) / whole if whole > 0 else float("nan")


@cache
def _partials() -> IntArray:
    """The bands of each pitch's partials, stretched as strings are: (128, partials); some lie outside the bands."""
    order = np.arange(1, _PARTIALS_EXPLAINED + 1)
    stretched = 12 * np.log2(order * np.sqrt(1 + _INHARMONICITY * order**2))
    return np.asarray(np.rint(np.arange(128)[:, None] + stretched).astype(np.int64) - _LOWEST)


@cache
def _heard() -> BoolArray:
    """In which of its partials each pitch is looked for: (128, partials)."""
    heard = (_partials() >= 2) & (_partials() < _BANDS - 2)
    return np.asarray(heard & (heard.cumsum(axis=1) <= _PARTIALS_HEARD))


def _band_power(samples: FloatSamples) -> _Float32:
    """Power by frame of 10 ms and band, (T, bands); some frames at a time, as all at once would fill memory."""
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), (_WINDOW // 2, _WINDOW // 2))
    frames = padded.unfold(0, _WINDOW, _HOP)
    power = torch.empty(_BANDS, len(frames))
    for part, found in zip(frames.split(_FRAMES_AT_ONCE), power.split(_FRAMES_AT_ONCE, dim=1), strict=True):
        spectrum = torch.view_as_real(torch.fft.rfft(torch.mul(part, _hann()))).flatten(1)
        squares = torch.square(spectrum, out=spectrum).T
        for bands, parts, weights in _filterbank():
            torch.mm(weights, squares[parts], out=found[bands])
    return np.ascontiguousarray(power.numpy().T)


@cache
def _hann() -> torch.Tensor:
    return torch.hann_window(_WINDOW) * (2 / _WINDOW)


@cache
def _filterbank() -> list[tuple[slice, slice, torch.Tensor]]:
    """Triangles around the keys' frequencies, half a semitone to either side, but wide enough to hold a bin.

    Of some bands at a time, as each has but few bins: the bands, which real and imaginary parts of the spectrum, in
    turn, are more than zero there, and their weights (bands, parts).
    """
    frequency = np.arange(_WINDOW // 2 + 1) * _RATE / _WINDOW
    centre = 440.0 * 2.0 ** ((np.arange(_LOWEST, _LOWEST + _BANDS) - 69) / 12)
    half_width = np.maximum(centre * (2 ** (1 / 24) - 2 ** (-1 / 24)), 1.2 * _RATE / _WINDOW)
    triangles = np.maximum(0.0, 1.0 - np.abs(frequency - centre[:, None]) / half_width[:, None]).astype(np.float32)
    found = []
    for first in range(0, _BANDS, _BANDS_AT_ONCE):
        bands = slice(first, first + _BANDS_AT_ONCE)
        bins = np.flatnonzero(triangles[bands].any(axis=0))
        inside = slice(int(bins[0]), int(bins[-1]) + 1)
        weights = torch.from_numpy(triangles[bands, inside].repeat(2, axis=1))
        found.append((bands, slice(2 * inside.start, 2 * inside.stop), weights))
    return found


def _decibels(power: _Float32) -> _Float32:
    level = power + np.float32(_SILENT_POWER)
    np.log10(level, out=level)
    level *= 10
    return level


def _running_maximum(values: _Float32) -> _Float32:
    """The largest of the frames (T,) around each: what is loud elsewhere does not hide what is soft here."""
    spread = functional.max_pool1d(torch.from_numpy(values)[None], 2 * _NEAR_FRAMES + 1, 1, _NEAR_FRAMES)
    return np.asarray(spread[0].numpy())


def _recent_maximum(values: _Float32) -> _Float32:
    """The largest of each frame (T, bands) and the _RECENT_FRAMES before it."""
    reach = 0
    while reach < _RECENT_FRAMES:
        step = min(reach + 1, _RECENT_FRAMES - reach)
        further = values.copy()
        np.maximum(values[step:], values[:-step], out=further[step:])
        values, reach = further, reach + step
    return values


def _mean_of(level: _Float32, first: int, last: int) -> _Float32:
    """For every frame the mean over the frames from ``first`` to ``last`` behind it; the edges go on for ever."""
    before, after = max(0, -first), max(0, last)
    padded = np.concatenate([level[:1].repeat(before, 0), level, level[-1:].repeat(after, 0)])
    total = padded[before + first :][: len(level)].copy()
    for place in range(first + 1, last + 1):
        total += padded[before + place :][: len(level)]
    total *= np.float32(1 / (last - first + 1))
    return total
