"""Chroma distortion: by its published definition, checked by hand."""

import math

import numpy as np
import pytest

from renderer.evaluation.chroma import chroma, chroma_distortion
from renderer.evaluation.spectrogram import SAMPLE_RATE


def test_distortion_by_hand() -> None:
    ours = np.array([[1.0, 0.2], [0.5, 0.0]], np.float32)
    theirs = np.array([[0.5, 0.2], [0.5, 1.0]], np.float32)
    # |1 - .5| + |.2 - .2| + |.5 - .5| + |0 - (1 - 1e-5)|, over the two entries of ours above .3
    assert chroma_distortion(ours, theirs) == pytest.approx((0.5 + 1 - 1e-5) / 2)


def test_equal_chroma_is_nearly_at_distance_0() -> None:
    ours = np.random.default_rng(0).uniform(0, 1, (12, 50)).astype(np.float32)
    assert chroma_distortion(ours, ours) < 1e-4


def test_the_longer_one_is_cut() -> None:
    ours = np.full((12, 4), 0.5, np.float32)
    theirs = np.concatenate([ours, np.zeros((12, 9), np.float32)], axis=1)
    assert chroma_distortion(ours, theirs) == pytest.approx(0.0, abs=1e-7)


def test_a_silent_reference_has_no_distortion() -> None:
    assert math.isnan(chroma_distortion(np.zeros((12, 3), np.float32), np.ones((12, 3), np.float32)))


def test_chroma_is_librosas_own_and_hears_an_a() -> None:
    librosa = pytest.importorskip("librosa")
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    samples = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    measured = chroma(samples)
    np.testing.assert_array_equal(measured, librosa.feature.chroma_cqt(y=samples, sr=24000))
    assert measured.shape == (12, 1 + SAMPLE_RATE // 512)
    assert set(measured[:, 5:-5].argmax(axis=0)) == {9}
