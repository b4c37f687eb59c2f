"""Joints: where they are, and that a click at one is noticed."""

import math

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.quality.joints import joint_prominence, joints_of, spectral_flux
from renderer.segments import SegmentLimits, plan_segments
from tests.renderer.tones import melody, played

RATE = 32000
NOTES = melody(1, 10.0, pace=2.0)
CLEAN = played(NOTES, 10.0)


def quiet_place(notes: Notes) -> float:
    """The middle of the longest time without an onset."""
    longest = int(np.diff(notes.onset).argmax())
    return float((notes.onset[longest] + notes.onset[longest + 1]) / 2 + 0.03)


def test_joints_are_where_segments_begin() -> None:
    notes = melody(2, 60.0)
    limits = SegmentLimits(500)
    frames = math.ceil(61.0 * 50)
    expected = [segment.keep / 50 for segment in plan_segments(notes, frames, 50, limits)][1:]
    assert joints_of(notes, 61.0, 50, limits).tolist() == expected
    assert len(expected) >= 6
    assert len(joints_of(notes.clipped(0, 5), 5.0, 50, limits)) == 0


def test_a_joint_that_is_none_is_not_prominent() -> None:
    assert joint_prominence(CLEAN, RATE, NOTES, np.array([quiet_place(NOTES)])) < 1.5


@pytest.mark.parametrize("where", [-0.09, -0.05, -0.01])
def test_a_click_within_the_cross_fade_is(where: float) -> None:
    joint = quiet_place(NOTES)
    broken = CLEAN.copy()
    broken[round((joint + where) * RATE)] += 0.3
    assert joint_prominence(broken, RATE, NOTES, np.array([joint])) > 3


def test_the_worst_of_several_joints_counts() -> None:
    joint = quiet_place(NOTES)
    broken = CLEAN.copy()
    broken[round((joint - 0.05) * RATE)] += 0.3
    alone = joint_prominence(broken, RATE, NOTES, np.array([joint]))
    assert joint_prominence(broken, RATE, NOTES, np.array([1.0, joint, 9.0])) == pytest.approx(alone, rel=0.3)


def test_what_is_not_wanted_does_not_change_the_flux_elsewhere() -> None:
    wanted = np.random.default_rng(0).uniform(size=2500) < 0.3
    everywhere = spectral_flux(CLEAN, RATE, np.ones(2500, np.bool_))
    some = spectral_flux(CLEAN, RATE, wanted)
    assert np.isfinite(everywhere).all() and everywhere.max() > 0.01
    np.testing.assert_allclose(some[wanted], everywhere[wanted], rtol=1e-5, atol=1e-7)
    assert np.isnan(some[~wanted]).all()


def test_where_onsets_hide_a_joint_nothing_is_said() -> None:
    trill = Notes.of(np.arange(0, 10, 0.05), np.arange(0, 10, 0.05) + 0.04, np.full(200, 60), np.full(200, 64))
    assert math.isnan(joint_prominence(CLEAN, RATE, trill, np.array([5.0])))
    assert math.isnan(joint_prominence(CLEAN, RATE, NOTES, np.array([])))
