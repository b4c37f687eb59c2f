"""An equalizer: gains of bands, by which one recording differs from another, put on a third."""

from dataclasses import dataclass

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.codecs.mel import mel_filters
from renderer.midi.notes import FloatArray
from renderer.quality.power_spectrum import power_spectrum

BANDS = 40
_FFT, _HOP = 2048, 512
_FAINT = 1e-7
"""A share of the power that is no more than noise: where both have as little, nothing is changed."""

_MOST_DB = 24.0
_STEP_DB = 1 / 64
"""A binary fraction, so that float32 columns hold gains as they are."""

_TAPS, _TRANSFORM = 1023, 1 << 13


@dataclass(frozen=True)
class Equalizer:
    """Gains in dB of bands even in mel, from the lowest up to half the sample rate; none leaves audio as it is."""

    gains_db: tuple[float, ...] = ()

    @classmethod
    def between(cls, wanted: FloatArray, had: FloatArray) -> "Equalizer":
        """What makes of the ``band_shares`` that are had those that are wanted, within 24 dB; the level stays."""
        gains = 10 * np.log10((wanted + _FAINT) / (had + _FAINT))
        gains = np.clip(gains, -_MOST_DB, _MOST_DB)
        return cls(tuple((np.round(gains / _STEP_DB) * _STEP_DB).tolist()))

    def apply(self, samples: FloatSamples, sample_rate: int) -> FloatSamples:
        """Float32 (N,) through a filter without delay, as long as before."""
        if not self.gains_db:
            return samples
        longer, step = _TAPS - 1, _TRANSFORM - _TAPS + 1
        response = torch.fft.rfft(torch.from_numpy(self._taps(sample_rate)).float(), _TRANSFORM)
        padded = np.pad(samples, (0, longer + -(len(samples) + longer) % step))
        blocks = torch.from_numpy(padded).view(-1, step)
        filtered = torch.fft.irfft(torch.fft.rfft(blocks, _TRANSFORM) * response, _TRANSFORM)
        filtered[1:, :longer] += filtered[:-1, step:]
        return filtered[:, :step].reshape(-1)[longer // 2 : longer // 2 + len(samples)].numpy()

    def _taps(self, sample_rate: int) -> FloatArray:
        """A linear-phase filter (1023,) whose gain goes in straight lines from the middle of a band to the next."""
        bins = np.fft.rfftfreq(_FFT, 1 / sample_rate)
        filters = mel_filters(len(self.gains_db), _FFT, sample_rate).double().numpy()
        middles = filters @ bins / filters.sum(axis=1)
        gain = 10 ** (np.interp(bins, middles, self.gains_db) / 20)
        impulse = np.roll(np.fft.irfft(gain, _FFT), _TAPS // 2)[:_TAPS]
        return impulse * np.hamming(_TAPS)


def band_shares(samples: FloatSamples, sample_rate: int) -> FloatArray:
    """How the power of mono float32 (N,) lies in 40 bands even in mel: (40,), together 1 if anything sounds."""
    frames = torch.from_numpy(np.pad(samples, _FFT // 2)).unfold(0, _FFT, _HOP)
    power = power_spectrum(frames, torch.hann_window(_FFT)).mean(dim=0).double()
    bands = (mel_filters(BANDS, _FFT, sample_rate).double() @ power).numpy()
    return np.asarray(bands / max(float(bands.sum()), 1e-12))
