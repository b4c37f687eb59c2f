"""Frechet audio distance: how far two sets of audio are from each other in an embedding (arXiv 1812.08466)."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from renderer.midi.notes import FloatArray


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and scatter of embedded frames; those of two sets of frames add up to those of both together.

    ``count`` frames, ``mean`` (D,) and ``scatter`` (D, D), the sum of outer products of deviations, float64.
    """

    count: int
    mean: FloatArray
    scatter: FloatArray

    @classmethod
    def of(cls, frames: FloatArray) -> "Gaussian":
        """Of frames (T, D); T may be 0."""
        frames = np.asarray(frames, np.float64)
        if frames.ndim != 2:
            raise ValueError(f"frames must be (frames, dimensions), not {frames.shape}")
        mean = frames.mean(axis=0) if len(frames) else np.zeros(frames.shape[1])
        deviation = frames - mean
        return cls(len(frames), mean, deviation.T @ deviation)

    @classmethod
    def total(cls, parts: "list[Gaussian]") -> "Gaussian":
        """Of all frames of all parts; ValueError if there are no parts."""
        if not parts:
            raise ValueError("no parts to add up")
        return reduce(add, parts)

    def __add__(self, other: "Gaussian") -> "Gaussian":
        """Of both sets together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.count * other.count / count)
        return Gaussian(count, self.mean + step * (other.count / count), scatter)

    @property
    def covariance(self) -> FloatArray:
        """Covariance (D, D), by count - 1; ValueError for fewer than two frames."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two frames, not {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B)) of the covariances A and B; 0 for equal ones.

    sqrt(A B) has the eigenvalues of the symmetric sqrt(A) B sqrt(A), which are never negative, so that no complex
    square root of a product that is nearly singular is needed.
    """
    root = _square_root(a.covariance)
    product = root @ b.covariance @ root
    shared = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0.0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * shared
    return float(((a.mean - b.mean) ** 2).sum() + max(spread, 0.0))


def _square_root(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0.0))) @ vectors.T)
