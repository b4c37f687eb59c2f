"""Attention of one new position a sequence to caches of different lengths, each read up to its own: on CUDA, torch's.

A mask over the longest would read 1.5 times as much where decoding goes on in slots that are refilled, and reading is
what decoding waits for.
"""

import warnings

import torch
from torch.nn import functional as F

Starts = tuple[torch.Tensor, torch.Tensor]
"""Where each sequence's query and first key lie among all, and where the last one's end: (slots + 1,) int32 each."""


def starts_of(keys: torch.Tensor) -> Starts:
    """The starts in keys (slots, capacity, heads, width) of one query a sequence: the same in all layers."""
    slots = torch.arange(len(keys) + 1, dtype=torch.int32, device=keys.device)
    return slots, slots * keys.shape[1]


def attend_ragged(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor, starts: Starts
) -> torch.Tensor:
    """Queries (slots, heads, width) to the first ``lengths`` (slots,) int32 of keys and values.

    These are (slots, capacity, heads, width) and contiguous. A sequence's positions are not shared out among parts of
    the device, so that its result does not depend on how long others are.
    """
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(
        query.contiguous(),
        keys.flatten(0, 1),
        values.flatten(0, 1),
        cu_seq_q=starts[0],
        cu_seq_k=starts[1],
        max_q=1,
        max_k=keys.shape[1],
        seqused_k=lengths,
        num_splits=1,
    )
    assert isinstance(attended, torch.Tensor)
    return attended


def has_ragged_attention(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether it can be had for heads of this width; a warning says why it cannot where it should.

    It is tried, as not every GPU and version of torch has it.
    """
    if device.type != "cuda" or dtype.itemsize != 2:
        return False
    lengths = torch.tensor([3, 40], dtype=torch.int32, device=device)
    waves = torch.linspace(0, 99, 3 * 2 * 64 * width, device=device).sin().to(dtype).view(3, 2, 64, 1, width)
    query, keys, values = waves[0, :, 0], waves[1], waves[2]
    expected = [
        F.scaled_dot_product_attention(
            query[slot, :, None], keys[slot, :length].transpose(0, 1), values[slot, :length].transpose(0, 1)
        )[:, 0]
        for slot, length in enumerate(lengths.tolist())
    ]
    try:
        found = attend_ragged(query, keys, values, lengths, starts_of(keys))
        torch.testing.assert_close(found, torch.stack(expected), atol=0.02, rtol=0.02)
    except (ImportError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(f"decoding reads all segments as far as the longest, and slower: {reason}", stacklevel=2)
        return False
    return True
