"""Spectrogram distortion: by its published definition, checked by hand and step by step."""

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.pairs import shortened
from renderer.evaluation.spectrogram import (
    BANDS,
    FFT_SIZE,
    HOP,
    SAMPLE_RATE,
    WINDOW,
    midi_filterbank,
    midi_spectrogram,
    spectrogram_distortion,
)

BINS = 16385


def noise(seconds: float, seed: int = 0) -> FloatSamples:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_the_filterbank_is_the_published_one_entry_by_entry() -> None:
    filterbank = midi_filterbank()
    assert filterbank.shape == (128, BINS)

    def key(m: int) -> float:
        return 0.0 if m < 0 else 440.0 * 2.0 ** ((m - 69) / 12)

    for m, k in [(69, 600), (69, 601), (69, 620), (69, 500), (0, 5), (0, 11), (60, 357), (126, 16000), (126, 16384)]:
        f = k * 12000 / BINS
        rising, falling = (f - key(m - 1)) / (key(m) - key(m - 1)), (key(m + 1) - f) / (key(m + 1) - key(m))
        expected = max(0.0, min(rising, falling)) / (key(m + 1) - key(m - 1))
        assert filterbank[m, k] == pytest.approx(expected, abs=1e-15)
    assert filterbank[69, 600] == pytest.approx(0.0192, abs=2e-4)  # 439.4 Hz, nearly the peak of 1 / 50.86 Hz
    assert set(filterbank[127]) == {1 / BINS}


def test_a_spectrogram_is_what_the_definition_gives_step_by_step() -> None:
    samples = noise(0.3)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    padded = np.pad(samples.astype(np.float64), FFT_SIZE // 2)
    frames = 1 + len(samples) // HOP
    expected = np.empty((BANDS, frames))
    for t in range(frames):
        frame = padded[t * HOP : t * HOP + FFT_SIZE].copy()
        side = (FFT_SIZE - WINDOW) // 2
        frame *= np.pad(window, side)
        magnitude = np.abs(np.fft.rfft(frame))
        expected[:, t] = 20 * np.log10(np.maximum(1e-5, midi_filterbank() @ magnitude)) - 20
    np.testing.assert_allclose(midi_spectrogram(samples), expected, atol=2e-3)


def test_silence_is_at_the_floor() -> None:
    np.testing.assert_allclose(midi_spectrogram(np.zeros(SAMPLE_RATE, np.float32)), -120.0, rtol=1e-6)


def test_long_audio_is_measured_in_parts_that_fit_together() -> None:
    samples = noise(2.0)
    whole = midi_spectrogram(samples)
    part = midi_spectrogram(samples[100 * HOP :])
    np.testing.assert_allclose(whole[:, 103:], part[:, 3:], atol=1e-3)
    assert whole.shape == (BANDS, 1 + len(samples) // HOP)


def test_distortion_by_hand() -> None:
    ours, theirs = np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 0.0]], np.float32)
    assert spectrogram_distortion(ours, theirs) == pytest.approx(0.8)  # sqrt(16 / 25)
    assert spectrogram_distortion(theirs, ours) == pytest.approx(4 / 3)  # sqrt(16 / 9): the reference counts
    assert spectrogram_distortion(ours, ours) == 0.0
    assert spectrogram_distortion(ours, np.array([[3.0]], np.float32)) == 0.0


def test_a_gain_of_20_db_moves_every_band_by_20_db() -> None:
    samples = noise(1.0)
    loud, soft = midi_spectrogram(samples), midi_spectrogram(samples * np.float32(0.1))
    expected = 20 / np.sqrt((loud.astype(np.float64) ** 2).mean())
    assert spectrogram_distortion(loud, soft) == pytest.approx(expected, rel=1e-4)


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        shortened(np.zeros((3, 0)), np.zeros((3, 4)))
