"""Means and intervals, by hand."""

import math
from typing import Any

import numpy as np
import pytest

from jobs.evaluation.summary import Estimate, summarize
from jobs.evaluation.systems import GT
from jobs.evaluation.table import evaluation_page
from renderer.evaluation.frechet import Gaussian


def test_the_interval_is_students() -> None:
    estimate = Estimate.of([1.0, 2.0, 3.0])
    assert (estimate.mean, estimate.count) == (2.0, 3)
    assert estimate.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)  # t(.975, 2) s / sqrt(n), s = 1
    assert math.isnan(Estimate.of([5.0]).half_width)


def test_failed_and_unmeasured_clips_are_distinguished() -> None:
    rows: list[dict[str, Any]] = [
        {"system": GT, "onset_f1": 1.0},
        {"system": "model", "onset_f1": 0.5, "length_error_frames": 0.0},
        {"system": "model", "onset_f1": None, "error": "no prompt"},
        {"system": "model", "onset_f1": 0.7, "length_error_frames": 2.0},
    ]
    gaussians = {
        (GT, "codec"): Gaussian.of(np.array([[0.0], [2.0]])),
        ("model", "codec"): Gaussian.of(np.array([[3.0], [5.0]])),
    }
    recording, model = summarize(rows, gaussians)
    assert (model.clips, model.failed, model.worst_length_error) == (3, 1, 2.0)
    assert model.estimates["onset_f1"].mean == pytest.approx(0.6)
    assert model.estimates["onset_f1"].count == 2
    assert model.frechet == {("codec", "gt"): pytest.approx(9.0)}
    assert recording.frechet == {("codec", "gt"): pytest.approx(0.0)}
    table = evaluation_page(rows, gaussians, "transkun", (), published=False)
    assert "| model | 2 (1 failed) | 9.000 |" in table
    assert "| model | 2 (1 failed) | 0.600 ± 1.271 |" in table
    assert "| model | 2.000 |" in table
    assert "published)" not in table


def test_held_out_conditions_stand_apart_and_a_measure_of_few_clips_says_so() -> None:
    rows: list[dict[str, Any]] = [
        {"system": "model", "held_out": held_out, "piano_recognised": right, "decay_error": decay}
        for held_out, right, decay in ((False, 1.0, 10.0), (False, 1.0, None), (True, 0.0, 30.0), (True, 0.0, 30.0))
    ]
    table = evaluation_page(rows, {}, None, ("a@hall", "a@small", "b@hall"), published=True)
    assert "among 2, 2 and 3." in table
    assert "| model | 23 ± 29 (3) | 0.500 ± 0.919 |" in table
    assert "| model: seen | 2 | 10 (1) | 1.000 ± 0.000 |\n| model: held out | 2 | 30 ± 0 | 0.000 ± 0.000 |" in table
