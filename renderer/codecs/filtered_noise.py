"""What is no tone: hammers, keys, dampers, rooms."""

import numpy as np
import torch
from torch import nn

_LARGEST_LOG_MAGNITUDE = 6.0
_NOISE_FRAMES = 1024


class FilteredNoise(nn.Module):
    """Log magnitudes (B, F, hop + 1) float32 -> windowed frames (B, F, 2 hop), to be overlapped and added.

    The noise is always the same, and repeats after 1,024 frames: a codec's output follows from its codes.
    """

    window: torch.Tensor
    noise: torch.Tensor

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(2 * hop), persistent=False)
        # RandomState's numbers are the same in every version of numpy.
        numbers = np.random.RandomState(1).standard_normal((_NOISE_FRAMES, hop + 1, 2)) * 0.5**0.5
        self.register_buffer("noise", torch.from_numpy(numbers).float(), persistent=False)

    def forward(self, log_magnitude: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """``start`` (B,) int64: on which frame of the noise each clip begins."""
        frame = start.to(self.noise.device)[:, None] + torch.arange(log_magnitude.shape[1], device=self.noise.device)
        white = torch.view_as_complex(self.noise)[frame % _NOISE_FRAMES]
        spectrum = white * log_magnitude.clamp_max(_LARGEST_LOG_MAGNITUDE).exp()
        return torch.fft.irfft(spectrum, n=len(self.window)) * self.window
