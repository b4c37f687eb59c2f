"""A bank of oscillators at fixed frequencies, close enough together for the partials of any piano."""

from functools import cache
from math import pi

import numpy as np
import torch
from torch import nn

_LOWEST_HZ, _HIGHEST_HZ = 27.0, 7000.0
_LEAST_SPACING_HZ = 1.2
_CENTS = ((1000.0, 12.0), (2500.0, 18.0), (_HIGHEST_HZ, 30.0))


@cache
def oscillator_frequencies() -> tuple[float, ...]:
    """In Hz: 12 cents apart up to 1 kHz, 18 to 2.5 kHz, 30 to 7 kHz, but at least 1.2 Hz."""
    frequencies = [_LOWEST_HZ]
    while frequencies[-1] < _HIGHEST_HZ:
        last = frequencies[-1]
        cents = next(cents for limit, cents in _CENTS if last < limit)
        frequencies.append(last + max(_LEAST_SPACING_HZ, last * (2 ** (cents / 1200) - 1)))
    return tuple(frequencies)


class Oscillators(nn.Module):
    """Amplitudes (B, F, oscillators) float32 -> windowed frames (B, F, 2 hop), to be overlapped and added.

    An oscillator keeps its phase from frame to frame, as its clock runs on; the amplitude changes from frame to frame.
    """

    basis: torch.Tensor
    phase: torch.Tensor
    cycles: torch.Tensor

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        frequency = torch.tensor(oscillator_frequencies(), dtype=torch.float64)
        # RandomState's numbers are the same in every version of numpy.
        phase = torch.from_numpy(np.random.RandomState(0).uniform(0, 2 * pi, len(frequency)))
        self.register_buffer("phase", phase, persistent=False)
        self.register_buffer("cycles", frequency * hop / sample_rate, persistent=False)
        angle = 2 * pi * frequency[:, None] * torch.arange(2 * hop, dtype=torch.float64) / sample_rate
        window = torch.hann_window(2 * hop, dtype=torch.float64)
        basis = torch.cat([angle.cos() * window, -angle.sin() * window]).float()
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, amplitude: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """``start`` (B,) int64: on which frame of the oscillators' clock each clip begins."""
        frame = (
            start.to(amplitude.device)[:, None, None]
            + torch.arange(amplitude.shape[1], device=amplitude.device)[:, None]
        )
        cycles = self.cycles * frame  # In float64: after an hour a phase is still exact to a millionth.
        angle = ((cycles - cycles.floor()) * (2 * pi) + self.phase).float()
        return torch.cat([amplitude * angle.cos(), amplitude * angle.sin()], dim=-1) @ self.basis
