"""The background of a recording of music: what lies between the partials, and in the pauses."""

from itertools import pairwise

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples

_WINDOW_SECONDS = 0.128
_BANDS = (40.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
_OF_BINS, _OF_FRAMES = 0.25, 0.1
_OF_MEAN = -float(np.log1p(-_OF_BINS))
"""Below this share of its mean lies a quarter of noise: its power is distributed exponentially."""

_SILENT = 1e-12


def noise_level(samples: FloatSamples, sample_rate: int) -> float:
    """The background's level in dBFS (RMS) at most, of mono (N,), N of some tenths of a second or more.

    In every octave from 40 Hz to 16 kHz it is that of the quieter bins, between the partials, of the quietest frames.
    What rings on throughout counts as background: of dense playing in a hall it tells 20 dB too much. -120 for digital
    silence.
    """
    size = round(_WINDOW_SECONDS * sample_rate)
    window = torch.hann_window(size)
    audio = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    frames = torch.nn.functional.pad(audio, (0, max(0, size - len(audio)))).unfold(0, size, size // 2)
    # So scaled that the bins of noise add up to its mean square.
    power = torch.fft.rfft(frames * window).abs().square().numpy() * (2 / (size * float(window.square().sum())))
    frequency = np.arange(power.shape[1]) * sample_rate / size
    total = 0.0
    for low, high in pairwise(_BANDS):
        band = power[:, (frequency >= low) & (frequency < high)]
        if band.size:
            between = np.quantile(band, _OF_BINS, axis=1) / _OF_MEAN
            total += float(np.quantile(between, _OF_FRAMES)) * band.shape[1]
    return float(10 * np.log10(max(total, _SILENT)))
