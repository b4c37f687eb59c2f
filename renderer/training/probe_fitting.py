"""A probe of a codec's codes (renderer/quality/codes_probe.py), fitted to recordings by least squares."""

import numpy as np
from numpy.typing import NDArray

from renderer.midi.notes import KEYS, FloatArray, IntArray, Notes
from renderer.quality.codes_probe import REACH, CodesProbe, around, latents, strikes

_RIDGE = 1e-4
"""Of the features' mean square."""


class ProbeFitting:
    """Adds up what codes of recordings and their notes say of each other, clip by clip.

    ``tables`` (K, codebook_size, D) float32 are the rows of the codec's codebooks.
    """

    def __init__(self, tables: NDArray[np.float32], frame_rate: int) -> None:
        self.frames = 0
        self._tables, self._frame_rate = tables, frame_rate
        features = (2 * REACH + 1) * tables.shape[2] + 1
        self._squares: FloatArray = np.zeros((features, features))
        self._products: FloatArray = np.zeros((features, KEYS))

    def add(self, codes: IntArray, notes: Notes) -> None:
        """Codes (T, K) of a recording, and its notes in seconds from its first frame on."""
        latent = latents(self._tables, around(codes))
        near = [latent[place : place + len(codes)] for place in range(2 * REACH + 1)]
        features = np.concatenate([*near, np.ones((len(codes), 1), np.float32)], axis=1)
        self._squares += features.T @ features
        self._products += features.T @ strikes(notes, len(codes), self._frame_rate).astype(np.float32)
        self.frames += len(codes)

    def probe(self) -> CodesProbe:
        """The probe that is nearest to all that was added; ValueError if nothing was."""
        if not self.frames:
            raise ValueError("nothing to fit a probe to: there are no clips with codes")
        size = len(self._squares)
        ridge = _RIDGE * np.trace(self._squares) / size * np.eye(size)
        solved = np.linalg.solve(self._squares + ridge, self._products).astype(np.float32)
        weight = solved[:-1].reshape(2 * REACH + 1, -1, KEYS)
        return CodesProbe(self._tables, weight, solved[-1], self._frame_rate)
