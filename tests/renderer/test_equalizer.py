"""Gains of bands, between recordings that differ by a known filter, and put on others."""

import numpy as np
import pytest

from renderer.equalizer import BANDS, Equalizer, band_shares

RATE = 32_000


def noise(seed: int, seconds: float = 4.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_without_gains_samples_stay_as_they_are() -> None:
    samples = noise(0)
    assert Equalizer().apply(samples, RATE) is samples
    np.testing.assert_allclose(Equalizer((0.0,) * BANDS).apply(samples, RATE), samples, atol=1e-6)


@pytest.mark.parametrize("length", [1, 100, 7170, 7171, 100_000])
def test_a_filter_is_that_of_one_long_convolution_and_delays_nothing(length: int) -> None:
    equalizer = Equalizer(tuple(np.random.default_rng(1).uniform(-20, 20, BANDS).round(1)))
    impulse = np.zeros(4001, np.float32)
    impulse[2000] = 1
    response = equalizer.apply(impulse, RATE)
    np.testing.assert_allclose(response[:2000], response[2001:][::-1], atol=1e-6)
    samples = noise(2)[:length]
    whole = np.convolve(samples, response.astype(float))[2000 : 2000 + length]
    np.testing.assert_allclose(equalizer.apply(samples, RATE), whole, atol=1e-5)


def test_what_is_darker_is_brought_to_the_spectrum_that_is_wanted() -> None:
    wanted = noise(3)
    darker = np.convolve(noise(4), [0.5, 0.5], "same").astype(np.float32)  # 5 dB down at a third of the rate.
    equalizer = Equalizer.between(band_shares(wanted, RATE), band_shares(0.2 * darker, RATE))
    gains = np.array(equalizer.gains_db)
    assert gains[0] < 0 < gains[-2] and np.all(np.float32(gains) == gains)
    other = np.convolve(noise(5), [0.5, 0.5], "same").astype(np.float32)
    shares = band_shares(equalizer.apply(other, RATE), RATE)
    difference = 10 * np.log10(shares / band_shares(wanted, RATE))
    assert np.abs(difference[:-2]).max() < 1.0


def test_faint_bands_and_silence_are_not_raised_out_of_nothing() -> None:
    low = np.sin(2 * np.pi * 220 * np.arange(3 * RATE) / RATE).astype(np.float32)
    shares = band_shares(low, RATE)
    assert shares.sum() == pytest.approx(1)
    assert Equalizer.between(shares, shares).gains_db == (0.0,) * BANDS
    assert np.abs(Equalizer.between(shares, band_shares(low + noise(6, 3.0), RATE)).gains_db).max() <= 24
    silent = band_shares(np.zeros(RATE, np.float32), RATE)
    assert Equalizer.between(silent, silent).gains_db == (0.0,) * BANDS
