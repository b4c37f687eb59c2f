"""Whether a language model's codes say when notes are struck.

A codec that is told the notes plays them whatever the codes are, so its audio does not judge the language model. A
linear probe of the codec's latents does: from codes alone it tells which keys are struck, and the notes say whether it
is right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.midi.notes import KEYS, LOWEST_KEY, IntArray, Notes

REACH = 2
"""Frames on each side of one from which it is told whether a key is struck in it."""

FEWEST_STRIKES = 8
"""Of fewer strikes the measure is mostly chance."""

_NEAR = 1
"""So many frames beside an onset count as struck: codes do not tell onsets to the frame."""

_FRAMES_AT_ONCE = 512
"""What is in the works is to stay in a core's cache."""

_LEAST, _BINS, _BIN = -0.5, 2000, 1e-3
_Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CodesProbe:
    """A linear map from latents to struck keys.

    ``tables`` (K, codebook_size, D) float32 are the rows of the codebooks, whose sum is a frame's latent; ``weight``
    (2 * REACH + 1, D, KEYS) float32 is that of each frame around one, ``bias`` (KEYS,) float32.
    """

    tables: _Float32
    weight: _Float32
    bias: _Float32
    frame_rate: int

    def struck(self, codes: IntArray) -> _Float32:
        """Codes (T, K) -> (T, KEYS) float32, the higher, the more likely a key is struck."""
        return self._struck(around(codes))

    def match(self, codes: IntArray, notes: Notes) -> float:
        """How well codes (T, K) tell the strikes of the notes, in seconds from the first frame on.

        It is the average precision, 0 to 1, with which frames and keys that are struck are found among all. NaN where
        fewer than FEWEST_STRIKES notes are struck.
        """
        wanted = strikes(notes, len(codes), self.frame_rate)
        first = np.floor(notes.onset * self.frame_rate)
        if ((first >= 0) & (first < len(codes))).sum() < FEWEST_STRIKES:
            return float("nan")
        padded, counts = around(codes), np.zeros(2 * _BINS, np.int64)
        for begin in range(0, len(codes), _FRAMES_AT_ONCE):
            found = self._struck(padded[begin : begin + _FRAMES_AT_ONCE + 2 * REACH])
            place = ((found - _LEAST) * (1 / _BIN)).clip(0, _BINS - 1).astype(np.int64)
            place += _BINS * wanted[begin : begin + _FRAMES_AT_ONCE]
            counts += np.bincount(place.ravel(), minlength=2 * _BINS)
        others, hits = counts[:_BINS], counts[_BINS:]
        return _average_precision(hits[::-1], others[::-1])

    def _struck(self, padded: IntArray) -> _Float32:
        latent, frames = latents(self.tables, padded), len(padded) - 2 * REACH
        found = np.tile(self.bias, (frames, 1))
        for place, weight in enumerate(self.weight):
            found += latent[place : place + frames] @ weight
        return found


def around(codes: IntArray) -> IntArray:
    """Codes (T, K) with REACH frames more at each end, as those at the ends are."""
    return np.pad(codes, ((REACH, REACH), (0, 0)), mode="edge")


def latents(tables: _Float32, codes: IntArray) -> _Float32:
    """Codes (T, K) and the rows of codebooks (K, codebook_size, D) -> latents (T, D) float32."""
    found: _Float32 = sum((table[codes[:, k]] for k, table in enumerate(tables[1:], 1)), tables[0][codes[:, 0]])
    return found


def strikes(notes: Notes, frames: int, frame_rate: int) -> NDArray[np.bool_]:
    """(frames, KEYS): whether a key is struck in a frame or the one beside it."""
    struck = np.zeros((frames, KEYS), np.bool_)
    first = np.floor(notes.onset * frame_rate).astype(np.int64)
    is_inside = (first >= 0) & (first < frames)
    for beside in range(-_NEAR, _NEAR + 1):
        near = (first[is_inside] + beside).clip(0, frames - 1)
        struck[near, notes.pitch[is_inside] - LOWEST_KEY] = True
    return struck


def _average_precision(hits: IntArray, others: IntArray) -> float:
    """Of so many right and wrong ones in each bin, from the highest bin on."""
    right = np.cumsum(hits)
    precision = right / np.maximum(right + np.cumsum(others), 1)
    return float((precision * hits).sum() / right[-1])
