"""EnCodec's distance between two sounds: mel spectra of several windows."""

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.mel import mel_filters

WINDOWS = (64, 128, 256, 512, 1024)
"""Samples; hops are a quarter of them."""

_BANDS, _LOWEST_HZ = 64, 64.0
_FLOOR = 1e-5


class MelLoss(nn.Module):
    """Of mel powers (L1) and their decimal logarithms (mean square): a scalar, for audio (B, N) float32.

    It is ``msspec`` as audiocraft's configuration has it, all weights 1: the mean over both losses and all WINDOWS.
    N is more than half a window.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window in WINDOWS:
            hann = torch.hann_window(window)
            # Spectra are relative to the window's energy.
            self.register_buffer(f"window_{window}", hann / hann.square().sum().sqrt(), persistent=False)
            self.register_buffer(
                f"mel_{window}", mel_filters(_BANDS, window, sample_rate, _LOWEST_HZ), persistent=False
            )

    def forward(self, audio: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """See the class."""
        losses = []
        for window in WINDOWS:
            ours, theirs = self._mel(audio, window), self._mel(reference, window)
            losses.append(functional.l1_loss(ours, theirs))
            losses.append(functional.mse_loss((ours + _FLOOR).log10(), (theirs + _FLOOR).log10()))
        return torch.stack(losses).mean()

    def _mel(self, audio: torch.Tensor, window: int) -> torch.Tensor:
        hop = window // 4
        reach = (window - hop) // 2
        padded = functional.pad(audio.float()[:, None], (reach, reach), "reflect")[:, 0]
        padded = functional.pad(padded, (0, -(padded.shape[1] - window) % hop))
        spectra = torch.stft(
            padded, window, hop, window=self.get_buffer(f"window_{window}"), center=False, return_complex=True
        )
        return self.get_buffer(f"mel_{window}") @ spectra.abs().square()
