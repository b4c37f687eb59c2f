"""How far apart two sounds are, over spectra of several resolutions."""

import math

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.mel import mel_filters

RESOLUTIONS = ((512, 128), (1024, 240), (2048, 480), (4096, 960), (8192, 1600))
"""Samples of the window and of the hop."""

_MEL_BANDS = {512: 64, 1024: 96, 2048: 128}
_MAGNITUDE_FLOOR, _MEL_FLOOR = 3e-4, 1e-3
_QUIET = 0.05
_LEAST_POWER = 1e-12
_RISE_SECONDS = 0.02


class SpectralLoss(nn.Module):
    """Of magnitudes, their logarithms, log-mel magnitudes and their rises: a scalar, for audio (B, N) float32.

    The first is relative to the reference's own size, but not below a floor, so that silence does not count
    without bound. What rises within 20 ms sounds struck, so rises count once more. ``resolution`` is an index into
    RESOLUTIONS.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        for window, _ in RESOLUTIONS:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
        for window, bands in _MEL_BANDS.items():
            self.register_buffer(f"mel_{window}", mel_filters(bands, window, sample_rate), persistent=False)

    def forward(self, audio: torch.Tensor, reference: torch.Tensor, resolution: int) -> torch.Tensor:
        """See the class."""
        window, hop = RESOLUTIONS[resolution]
        ours, theirs = self._magnitudes(audio, window, hop), self._magnitudes(reference, window, hop)
        size = theirs.square().sum((1, 2)).sqrt().clamp_min(_QUIET)
        loss = 0.5 * ((ours - theirs).square().sum((1, 2)).clamp_min(1e-8).sqrt() / size).mean()
        if window not in _MEL_BANDS:
            return loss + _log_distance(ours, theirs, _MAGNITUDE_FLOOR)
        mel = self.get_buffer(f"mel_{window}")
        loss = loss + 0.5 * _log_distance(ours, theirs, _MAGNITUDE_FLOOR)
        ours, theirs = ((mel @ magnitudes + _MEL_FLOOR).log() for magnitudes in (ours, theirs))
        lag = math.ceil(_RISE_SECONDS * self.sample_rate / hop)
        return loss + (ours - theirs).abs().mean() + (_rises(ours, lag) - _rises(theirs, lag)).abs().mean()

    def _magnitudes(self, audio: torch.Tensor, window: int, hop: int) -> torch.Tensor:
        padded = functional.pad(audio.float(), (window // 4, window // 4))
        spectra = torch.stft(
            padded, window, hop, window=self.get_buffer(f"window_{window}"), center=False, return_complex=True
        )
        # White noise has the same magnitude in every resolution.
        size = torch.view_as_real(spectra).square().sum(-1)
        return (size * (8 / (3 * window)) + _LEAST_POWER).sqrt()  # Faster than abs(), which guards against overflow.


def _rises(log_magnitudes: torch.Tensor, lag: int) -> torch.Tensor:
    return functional.relu(log_magnitudes[..., lag:] - log_magnitudes[..., :-lag])


def _log_distance(ours: torch.Tensor, theirs: torch.Tensor, floor: float) -> torch.Tensor:
    return ((ours + floor).log() - (theirs + floor).log()).abs().mean()
