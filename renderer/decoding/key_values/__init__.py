"""Keys and values that decoding has seen, and the attention of a step to them: as each device reads them fastest."""

import torch

from renderer.decoding.key_values.cache import KeyValueCache
from renderer.decoding.key_values.masked_cache import MaskedCache
from renderer.decoding.key_values.row_sum_cache import RowSumCache
from renderer.device import adds_up_rows_fast


def make_cache(
    layers: int, slots: int, heads: int, width: int, dtype: torch.dtype, device: torch.device
) -> KeyValueCache:
    """An empty cache of numbers of this type."""
    if adds_up_rows_fast(device, dtype):
        return RowSumCache(layers, slots, heads, width, dtype)
    return MaskedCache(layers, slots, heads, width, dtype, device)
