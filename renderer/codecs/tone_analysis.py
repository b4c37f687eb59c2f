"""What an encoder sees of a recording: when things happen, and at which pitch."""

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.mel import mel_filters

_QUICK_FFT, _MEL_BANDS = 1024, 96
_LONG_FFT = 4096
_FIRST_BIN, _LINEAR_BINS = 2, 96
_SEMITONES = 53
_SCALE, _SHIFT = 0.3, 0.3


class ToneAnalysis(nn.Module):
    """Audio (B, T * frame) -> scaled log magnitudes (B, T, width).

    Two quick spectra a frame (32 ms at 32 kHz, 96 mel bands), centred on its first and third quarter, for the time of
    an onset; and one long one (128 ms), centred on the frame's middle: single bins up to 750 Hz, then semitones.
    """

    quick_window: torch.Tensor
    long_window: torch.Tensor
    mel: torch.Tensor
    pitch: torch.Tensor

    def __init__(self, sample_rate: int, frame: int, floor: float) -> None:
        super().__init__()
        self.frame, self.floor = frame, floor
        self.register_buffer("quick_window", torch.hann_window(_QUICK_FFT), persistent=False)
        self.register_buffer("long_window", torch.hann_window(_LONG_FFT), persistent=False)
        self.register_buffer("mel", mel_filters(_MEL_BANDS, _QUICK_FFT, sample_rate), persistent=False)
        self.register_buffer("pitch", _pitch_filters(sample_rate), persistent=False)
        self.width = 2 * _MEL_BANDS + len(self.pitch)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """See the class."""
        frames = audio.shape[1] // self.frame
        quick = self._magnitudes(audio, self.quick_window, self.frame // 2, 2 * frames)
        long = self._magnitudes(audio, self.long_window, self.frame, frames)
        by_mel = self._scaled(self.mel @ quick).transpose(1, 2).reshape(len(audio), frames, -1)
        return torch.cat([by_mel + _SHIFT, self._scaled(self.pitch @ long).transpose(1, 2)], dim=-1)

    def _magnitudes(self, audio: torch.Tensor, window: torch.Tensor, hop: int, frames: int) -> torch.Tensor:
        """Of spectra centred on the middle of each hop: (B, bins, frames)."""
        half = len(window) // 2
        padded = functional.pad(audio, (half - hop // 2, half))
        spectra = torch.stft(padded, len(window), hop, window=window, center=False, return_complex=True)
        return spectra[..., :frames].abs()

    def _scaled(self, magnitude: torch.Tensor) -> torch.Tensor:
        return magnitude.clamp_min(self.floor).log() * _SCALE


def _pitch_filters(sample_rate: int) -> torch.Tensor:
    """Single bins, then triangles a semitone apart: (bands, bins)."""
    bins = torch.linspace(0, sample_rate / 2, _LONG_FFT // 2 + 1, dtype=torch.float64)
    last = float(bins[_FIRST_BIN + _LINEAR_BINS - 2])
    centres = last * 2 ** (torch.arange(-1, _SEMITONES + 1, dtype=torch.float64) / 12)
    lower, centre, upper = centres[:-2, None], centres[1:-1, None], centres[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp_min(0)
    single = torch.eye(len(bins), dtype=torch.float64)[_FIRST_BIN : _FIRST_BIN + _LINEAR_BINS]
    return torch.cat([single, triangles]).float()
