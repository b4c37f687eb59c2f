"""The mel scale, as filters over the bins of a spectrum."""

import math

import torch


def mel_filters(bands: int, fft: int, sample_rate: int, lowest: float = 20.0) -> torch.Tensor:
    """Triangles of height 1, even in mel from ``lowest`` Hz to half the sample rate: (bands, fft / 2 + 1)."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    corners = torch.linspace(mel(lowest), mel(sample_rate / 2), bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (corners / 2595) - 1)
    lower, centre, upper = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64)
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    return torch.minimum(rising, falling).clamp_min(0).float()
