"""The Frechet distance, against what can be worked out by hand and against scipy's matrix square root."""

import numpy as np
import pytest
from scipy import linalg

from renderer.evaluation.frechet import Gaussian, frechet_distance
from renderer.midi.notes import FloatArray


def frames(seed: int, count: int = 400, width: int = 8) -> FloatArray:
    random = np.random.default_rng(seed)
    return np.asarray(
        random.normal(size=(count, width)) @ random.normal(size=(width, width)) + random.normal(size=width)
    )


def test_one_dimension_by_hand() -> None:
    # Means 0 and 3; variances 4 and 1, by n - 1: 9 + (2 - 1)^2
    a = Gaussian.of(np.array([[-np.sqrt(2.0)], [np.sqrt(2.0)]]))
    b = Gaussian.of(np.array([[3 - np.sqrt(0.5)], [3 + np.sqrt(0.5)]]))
    np.testing.assert_allclose([a.covariance.item(), b.covariance.item()], [4.0, 1.0])
    assert frechet_distance(a, b) == pytest.approx(10.0)


def test_it_is_what_the_matrix_square_root_gives() -> None:
    a, b = frames(1), frames(2)
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T))
    means = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root.real)
    assert frechet_distance(Gaussian.of(a), Gaussian.of(b)) == pytest.approx(expected, rel=1e-9)


def test_a_set_is_at_distance_0_from_itself_even_with_few_frames() -> None:
    for count in (2, 5, 400):
        same = Gaussian.of(frames(3, count))
        assert frechet_distance(same, same) == pytest.approx(0.0, abs=1e-6)


def test_parts_add_up_to_the_whole() -> None:
    whole = frames(4) + 1000.0
    parts = Gaussian.total([Gaussian.of(part) for part in np.split(whole, [0, 1, 30, 333])])
    expected = Gaussian.of(whole)
    assert parts.count == 400
    np.testing.assert_allclose(parts.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, expected.covariance, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(parts.covariance, np.cov(whole.T), rtol=1e-8, atol=1e-10)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames, not 1"):
        frechet_distance(Gaussian.of(frames(1, 1)), Gaussian.of(frames(1)))
    with pytest.raises(ValueError, match="no parts"):
        Gaussian.total([])
    with pytest.raises(ValueError, match="frames must be"):
        Gaussian.of(np.zeros(3))
