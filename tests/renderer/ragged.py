"""Ragged attention where there is no kernel for it."""

import torch
from torch.nn import functional as F


def ragged_reference(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """What the kernel is asked for, a sequence after the other."""
    assert keys.is_contiguous() and values.is_contiguous() and lengths.dtype == torch.int32
    sequences = [
        F.scaled_dot_product_attention(q[:, None], k[:length].transpose(0, 1), v[:length].transpose(0, 1))[:, 0]
        for q, k, v, length in zip(query, keys, values, lengths.tolist(), strict=True)
    ]
    return torch.stack(sequences)
