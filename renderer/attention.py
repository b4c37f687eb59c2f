"""What attends to what: whole sequences without a mask, MIDI then causal audio, and the cached decoder."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional as F

from renderer.device import reads_slots_apart

EXTENT_STEP = 64


class Attend(Protocol):
    """Attention of one layer, given by its index."""

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values (B, heads, T, width) -> (B, heads, T, width)."""
        ...


class FullAttention:
    """Every position sees every position: the NAR decoder.

    Where only the first ``length`` positions are real and the rest fill a sequence up, nobody sees these.
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``."""
        positions = key.shape[2]
        visible = None
        if self.length is not None and self.length < positions:
            visible = (torch.arange(positions, device=key.device) < self.length)[None, None, None]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)


class PrefixAttention:
    """MIDI rows see all MIDI and no audio; an audio frame sees all MIDI and audio up to itself: the AR decoder.

    With a cache, the keys and values are also kept in one of its slots, for decoding to go on from.
    """

    def __init__(self, midi_rows: int, cache: "KeyValueCache | None" = None, slot: int = 0) -> None:
        self.midi_rows = midi_rows
        self.cache = cache
        self.slot = slot

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``."""
        if self.cache is not None:
            self.cache.keys[layer, self.slot, :, : key.shape[2]] = key[0]
            self.cache.values[layer, self.slot, :, : value.shape[2]] = value[0]
        position = torch.arange(query.shape[2], device=query.device)
        visible = (position < self.midi_rows) | (
            (position[:, None] >= self.midi_rows) & (position <= position[:, None])
        )
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)


class KeyValueCache:
    """Keys and values of the AR decoder: (layers, slots, heads, capacity, width), a sequence a slot, front to back."""

    def __init__(
        self, layers: int, slots: int, heads: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = torch.zeros(layers, slots, heads, 0, width, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)

    @property
    def capacity(self) -> int:
        """Positions a slot can hold."""
        return self.keys.shape[3]

    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """How far to read, in few sizes, where slots hold so many positions: each slot's, or one for all of them."""
        position_bytes = 2 * self.keys.shape[2] * self.keys.shape[4] * self.keys.element_size()
        longest = used if reads_slots_apart(self.keys.device, position_bytes) else [max(used)]
        return tuple(min(max(1, -(-positions // EXTENT_STEP)) * EXTENT_STEP, self.capacity) for positions in longest)

    def reserve(self, positions: int) -> None:
        """Grow, if need be, until every slot can hold this many positions; what is stored stays."""
        if positions > self.capacity:
            more = -(-positions // EXTENT_STEP) * EXTENT_STEP - self.capacity
            self.keys = F.pad(self.keys, (0, 0, 0, more))
            self.values = F.pad(self.values, (0, 0, 0, more))


class CachedAttention:
    """One new position a slot, which sees all that its slot holds up to itself.

    ``positions`` (slots,) int64 says where each slot's new key and value go. Slots are read up to their ``extents``
    (:meth:`KeyValueCache.extents`); what lies behind a slot's own position has weight exactly 0, so that a slot's
    result does not depend on the others.
    """

    def __init__(self, cache: KeyValueCache, positions: torch.Tensor, extents: Sequence[int]) -> None:
        self.cache = cache
        self.slots = torch.arange(positions.shape[0], device=positions.device)
        self.positions = positions
        self.extents = extents
        unseen = torch.arange(max(extents), device=positions.device) > positions[:, None]
        self.bias = torch.zeros(unseen.shape, dtype=cache.keys.dtype, device=positions.device)
        self.bias = self.bias.masked_fill_(unseen, float("-inf"))[:, None, None]

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self.slots, :, self.positions] = key[:, :, 0].to(keys.dtype)
        values[self.slots, :, self.positions] = value[:, :, 0].to(keys.dtype)
        size, asked = len(self.slots) // len(self.extents), query.to(keys.dtype)
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
