"""Keys and values that decoding has seen, and the attention of a step to them: as each device reads them fastest."""

import torch

from renderer.decoding.key_values.cache import KeyValueCache
from renderer.decoding.key_values.masked_cache import MaskedCache
from renderer.decoding.key_values.ragged_cache import RaggedCache
from renderer.decoding.key_values.row_sum_cache import RowSumCache
from renderer.device import adds_up_rows_fast
from renderer.model.varlen import choose_varlen


def make_cache(
    layers: int, slots: int, heads: int, width: int, dtype: torch.dtype, device: torch.device
) -> KeyValueCache:
    """An empty cache of numbers of this type."""
    if (kernel := choose_varlen(device, dtype, width)) is not None:
        return RaggedCache(layers, slots, heads, width, dtype, device, kernel)
    if adds_up_rows_fast(device, dtype):
        return RowSumCache(layers, slots, heads, width, dtype)
    return MaskedCache(layers, slots, heads, width, dtype, device)
