"""Attention to a cache by torch's scaled dot product, with a mask: it runs everywhere."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from renderer.decoding.key_values.cache import KeyValueCache, grown, in_steps
from renderer.device import reads_slots_apart
from renderer.model.attention import Attend


class MaskedCache(KeyValueCache):
    """Keys and values (layers, slots, heads, capacity, width)."""

    def __init__(
        self, layers: int, slots: int, heads: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        empty = torch.zeros(layers, slots, heads, 0, width, dtype=dtype, device=device)
        super().__init__(empty, empty.clone())

    @property
    def capacity(self) -> int:
        """See ``KeyValueCache``."""
        return self.keys.shape[3]

    def grow(self, positions: int) -> None:
        """See ``KeyValueCache``."""
        self.keys, self.values = grown(self.keys, 3, positions), grown(self.values, 3, positions)

    def fill(self, layer: int, slot: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See ``KeyValueCache``."""
        self.keys[layer, slot, :, : key.shape[1]] = key
        self.values[layer, slot, :, : value.shape[1]] = value

    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """Each slot's own extent where slots are read apart, else one for all."""
        position_bytes = 2 * self.keys.shape[2] * self.keys.shape[4] * self.keys.element_size()
        longest = used if reads_slots_apart(self.keys.device, position_bytes) else [max(used)]
        return tuple(in_steps(positions) for positions in longest)

    def attend(self, positions: torch.Tensor, extents: tuple[int, ...]) -> Attend:
        """See ``KeyValueCache``."""
        return MaskedAttention(self, positions, extents)


class MaskedAttention:
    """One new position a slot; what lies behind a slot's own position has weight exactly 0."""

    def __init__(self, cache: MaskedCache, positions: torch.Tensor, extents: tuple[int, ...]) -> None:
        self.cache = cache
        self.positions = positions
        self.extents = extents
        unseen = torch.arange(max(extents), device=positions.device) > positions[:, None]
        self.bias = torch.zeros(unseen.shape, dtype=cache.keys.dtype, device=positions.device)
        self.bias = self.bias.masked_fill_(unseen, float("-inf"))[:, None, None]

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        slots = self.cache.slots[: len(self.positions)]
        keys[slots, :, self.positions] = key[:, :, 0].to(keys.dtype)
        values[slots, :, self.positions] = value[:, :, 0].to(values.dtype)
        size, asked = len(self.positions) // len(self.extents), query.to(keys.dtype)
        seen = [
            self._seen(slice(first * size, (first + 1) * size), extent, asked, keys, values)
            for first, extent in enumerate(self.extents)
        ]
        return torch.cat(seen).to(query.dtype)

    def _seen(
        self, slots: slice, extent: int, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        return F.scaled_dot_product_attention(
            query[slots],
            keys[slots, :, :extent],
            values[slots, :, :extent],
            attn_mask=self.bias[slots, :, :, :extent],
        )
