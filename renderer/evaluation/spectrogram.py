"""Spectrogram distortion: how far a rendering's spectrogram, in bands of one semitone, is from a recording's.

As defined for MIDI-VALLE (arXiv 2507.08530), the peculiar filterbank included, so that figures can be compared.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.pairs import shortened

SAMPLE_RATE = 24_000
"""The rate in Hz of all audio that is measured here."""

FFT_SIZE, HOP, WINDOW, BANDS = 32_768, 288, 1200, 128
_BINS = FFT_SIZE // 2 + 1
_SMALLEST_MAGNITUDE = 1e-5
_REFERENCE_DB = 20.0
_FRAMES_AT_ONCE = 32


def midi_filterbank() -> NDArray[np.float64]:
    """Triangles around the MIDI keys' frequencies, each of area 1/2: (128, 16385) float64.

    Two things are odd and stay so: bin k is taken to lie at k * 12000 / 16385 Hz, a little too low, and the last
    row is not a triangle but the mean over all bins.
    """
    frequency = np.arange(_BINS) * (SAMPLE_RATE / 2) / _BINS
    key = 440.0 * 2.0 ** ((np.arange(BANDS) - 69) / 12)
    below, centre, above = np.concatenate([[0.0], key[:-2]]), key[:-1], key[1:]
    rising = (frequency - below[:, None]) / (centre - below)[:, None]
    falling = (above[:, None] - frequency) / (above - centre)[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) / (above - below)[:, None]
    return np.concatenate([triangles, np.full((1, _BINS), 1.0 / _BINS)])


def midi_spectrogram(samples: FloatSamples) -> NDArray[np.float32]:
    """Level of every band in dB, 20 below full scale's: mono float32 (N,) at 24 kHz -> (128, 1 + N // 288) float32.

    Frames are centred on multiples of the hop, in zeros beyond both ends. Only the Hann window's 1200 samples are
    transformed, padded with zeros to the FFT's size, and some frames at a time, as all at once would fill memory.
    """
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), (WINDOW // 2, WINDOW // 2))
    frames = padded.unfold(0, WINDOW, HOP)
    window = torch.hann_window(WINDOW)
    filterbank = _filterbank()
    bands = [torch.fft.rfft(part * window, FFT_SIZE).abs() @ filterbank for part in frames.split(_FRAMES_AT_ONCE)]
    magnitude = torch.cat(bands).T.clamp(min=_SMALLEST_MAGNITUDE)
    return np.asarray((20.0 * magnitude.log10() - _REFERENCE_DB).numpy())


def spectrogram_distortion(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> float:
    """Distance of two ``midi_spectrogram`` results, relative to the reference's own size; 0 for equal ones.

    The longer one is cut to the shorter one's frames.
    """
    ours, theirs = shortened(reference, candidate)
    wanted = ours.astype(np.float64)
    return float(np.sqrt(((wanted - theirs) ** 2).sum() / (wanted**2).sum()))


@cache
def _filterbank() -> torch.Tensor:
    return torch.from_numpy(midi_filterbank().astype(np.float32)).T.contiguous()
