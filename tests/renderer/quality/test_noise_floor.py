"""Steps of the noise floor that are known, with and without music over them."""

import math

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.quality.noise_floor import noise_floor_step
from tests.renderer.tones import melody, played

RATE = 32_000
JOINTS = np.array([3.0, 7.0])


def noise(*decibels: float) -> FloatSamples:
    """10 s of noise, whose level changes at each joint."""
    white = np.random.default_rng(0).normal(0, 1e-3, 10 * RATE)
    time = np.arange(len(white)) / RATE
    return (white * 10 ** (np.array(decibels)[np.searchsorted(JOINTS, time)] / 20)).astype(np.float32)


def test_a_step_of_6_db_is_6_db_up_or_down() -> None:
    assert noise_floor_step(noise(0, 6, 0), RATE, JOINTS) == pytest.approx(6.0, abs=0.2)
    assert noise_floor_step(noise(0, 6, 6), RATE, JOINTS) == pytest.approx(3.0, abs=0.3)  # The mean of 6 and 0.
    assert noise_floor_step(noise(0, 6, 6), RATE, JOINTS[:1]) == pytest.approx(6.0, abs=0.2)
    assert noise_floor_step(noise(0, 0, 0), RATE, JOINTS) < 0.3


def test_music_over_it_hides_little_of_it() -> None:
    music = played(melody(3, 10.0, pace=2.0), 10.0)
    assert noise_floor_step(music + noise(0, 0, 0), RATE, JOINTS) < 1.0
    assert noise_floor_step(music + noise(0, 6, 0), RATE, JOINTS) == pytest.approx(6.0, abs=1.0)
    assert noise_floor_step(music + noise(0, 1, 0), RATE, JOINTS) == pytest.approx(1.0, abs=0.7)


def test_without_a_joint_or_with_too_little_beside_it_nothing_is_said() -> None:
    assert math.isnan(noise_floor_step(noise(0, 0, 0), RATE, np.array([])))
    assert math.isnan(noise_floor_step(noise(0, 0, 0), RATE, np.array([0.2])))
    assert noise_floor_step(np.zeros(10 * RATE, np.float32), RATE, JOINTS) == 0.0
