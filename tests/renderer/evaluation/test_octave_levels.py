"""Levels per octave: of filtered copies whose change is known."""

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.octave_levels import OctaveLevels

RATE = 32_000


def tones(*parts: tuple[float, float], rate: int = RATE) -> FloatSamples:
    """Sines as (Hz, amplitude), 3 s."""
    time = np.arange(3 * rate) / rate
    return np.sum([level * np.sin(2 * np.pi * hertz * time) for hertz, level in parts], axis=0).astype(np.float32)


def test_the_power_of_a_sine_is_in_its_octave() -> None:
    power = OctaveLevels.of(tones((700.0, 0.5)), RATE).power
    assert power[4] == pytest.approx(0.5**2 / 2, rel=0.03)
    assert power.sum() == pytest.approx(power[4], rel=1e-3)


def test_a_muffled_copy_lacks_what_was_taken_from_it_at_any_level() -> None:
    recording = OctaveLevels.of(tones((300.0, 0.5), (6000.0, 0.02), (10_000.0, 0.02)), RATE)
    for gain in (1.0, 0.25):
        muffled = tones((300.0, gain * 0.5), (6000.0, gain * 0.01), (10_000.0, gain * 0.0002))
        found = OctaveLevels.of(muffled, RATE).against(recording)
        assert found.level == pytest.approx(20 * np.log10(gain), abs=0.02)
        assert found.octaves[[3, 7, 8]] == pytest.approx([0.0, -6.02, -40.0], abs=0.1)
        assert found.bright == pytest.approx(-9.03, abs=0.1)  # Of two equal parts one is gone, one is halved.


def test_a_low_passed_noise_lacks_what_the_filter_takes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE)
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(len(noise), 1 / RATE) >= 4000] *= 10 ** (-12 / 20)
    muffled = np.fft.irfft(spectrum).astype(np.float32)
    found = OctaveLevels.of(muffled, RATE).against(OctaveLevels.of(noise.astype(np.float32), RATE))
    assert found.bright + found.level == pytest.approx(-12.0, abs=0.1)
    assert found.octaves[:7] + found.level == pytest.approx(np.zeros(7), abs=0.1)
    assert found.octaves[7:] + found.level == pytest.approx([-12.0, -12.0], abs=0.1)


def test_what_a_rate_cannot_hold_is_not_compared_and_silence_has_a_level() -> None:
    low = OctaveLevels.of(tones((300.0, 0.5), (3000.0, 0.1), rate=16_000), 16_000)
    found = low.against(OctaveLevels.of(tones((300.0, 0.5), (3000.0, 0.1)), RATE))
    assert found.octaves[[3, 6]] == pytest.approx([0.0, 0.0], abs=0.05)
    assert np.isnan(found.octaves[8]) and np.isfinite(found.bright)
    assert np.isnan(OctaveLevels.of(tones((300.0, 0.5), rate=6000), 6000).against(low).bright)
    silent = OctaveLevels.of(np.zeros(RATE, np.float32), RATE).against(low)
    assert silent.level < -80 and np.isfinite(silent.octaves[:8]).all()
