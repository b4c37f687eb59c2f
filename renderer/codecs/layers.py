"""What the light codecs are built of."""

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """ConvNeXt block over time: (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mixed = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        change: torch.Tensor = self.project(functional.gelu(self.expand(self.norm(mixed))))
        return x + self.scale * change


class ResidualQuantizer(nn.Module):
    """Each codebook quantizes what the ones before it left over; in float32."""

    def __init__(self, codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(torch.randn(codebooks, codebook_size, dimension) / dimension**0.5)

    def encode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (B, T, dimension) -> codes (B, K, T) int64: the nearest rows by squared distance."""
        residual = latent.float()
        codes = []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook))
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (B, K, T) -> latents (B, T, dimension): the sum of the rows."""
        rows = [functional.embedding(codes[:, k], codebook) for k, codebook in enumerate(self.codebooks)]
        return torch.stack(rows).sum(dim=0)


def nearest(latents: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Which row of a table (codes, D) is nearest to each latent, by squared distance: (..., D) -> (...) int64."""
    # The latent's own square is the same for all rows.
    return (table.square().sum(dim=1) - 2 * latents @ table.T).argmin(dim=-1)


def overlap_add(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Frames (B, F, size), each ``hop`` samples after the one before -> audio (B, (F - 1) * hop + size)."""
    count, size = frames.shape[1:]
    length = (count - 1) * hop + size
    summed = functional.fold(frames.transpose(1, 2), output_size=(1, length), kernel_size=(1, size), stride=(1, hop))
    return summed[:, 0, 0]
