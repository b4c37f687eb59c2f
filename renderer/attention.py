"""What attends to what: whole sequences without a mask, MIDI then causal audio, and the cached decoder."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional as F

from renderer.device import reads_slots_apart
from renderer.ragged_attention import attend_ragged, has_ragged_attention, starts_of

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
    """Keys and values of the AR decoder: (layers, slots, heads, capacity, width), a sequence a slot, front to back.

    Where ``is_ragged``, a position's heads lie beside one another in memory, as :class:`RaggedAttention` needs it; else
    a head's positions do.
    """

    def __init__(
        self, layers: int, slots: int, heads: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.is_ragged = has_ragged_attention(device, dtype, width)
        shape = (layers, slots, 0, heads, width) if self.is_ragged else (layers, slots, heads, 0, width)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros_like(self._keys)
        self._slots = torch.arange(slots, device=device)

    @property
    def keys(self) -> torch.Tensor:
        """All keys; writing to them is writing to the cache."""
        return self._keys.transpose(2, 3) if self.is_ragged else self._keys

    @property
    def values(self) -> torch.Tensor:
        """All values, as ``keys``."""
        return self._values.transpose(2, 3) if self.is_ragged else self._values

    @property
    def capacity(self) -> int:
        """Positions a slot can hold."""
        return self.keys.shape[3]

    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """How far to read, in few sizes: each slot's own extent, or one for all of them.

        Ragged attention knows by itself how far to read, and has the capacity as its only extent.
        """
        if self.is_ragged:
            return (self.capacity,)
        position_bytes = 2 * self.keys.shape[2] * self.keys.shape[4] * self.keys.element_size()
        longest = used if reads_slots_apart(self.keys.device, position_bytes) else [max(used)]
        return tuple(min(max(1, -(-positions // EXTENT_STEP)) * EXTENT_STEP, self.capacity) for positions in longest)

    def reserve(self, positions: int) -> None:
        """Grow, if need be, until every slot can hold this many positions; what is stored stays."""
        if positions > self.capacity:
            more = -(-positions // EXTENT_STEP) * EXTENT_STEP - self.capacity
            behind = (0, 0, 0, 0, 0, more) if self.is_ragged else (0, 0, 0, more)
            self._keys, self._values = F.pad(self._keys, behind), F.pad(self._values, behind)

    def put(self, layer: int, positions: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep a key and a value (slots, heads, 1, width) at a position (slots,) of every slot."""
        self.keys[layer][self._slots, :, positions] = key[:, :, 0].to(self.keys.dtype)
        self.values[layer][self._slots, :, positions] = value[:, :, 0].to(self.values.dtype)

    def attend(self, positions: torch.Tensor, extents: Sequence[int]) -> Attend:
        """The attention of one step of decoding, whose keys and values go to ``positions`` (slots,) int64."""
        if self.is_ragged:
            return RaggedAttention(self, positions)
        return CachedAttention(self, positions, extents)


class RaggedAttention:
    """What :class:`CachedAttention` does, by a kernel that reads every slot up to its own position."""

    def __init__(self, cache: KeyValueCache, positions: torch.Tensor) -> None:
        self.cache = cache
        self.positions = positions
        self.lengths = (positions + 1).to(torch.int32)
        self.starts = starts_of(self._positions_first(cache.keys[0]))

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        self.cache.put(layer, self.positions, key, value)
        keys, values = (self._positions_first(tensor[layer]) for tensor in (self.cache.keys, self.cache.values))
        return attend_ragged(query[:, :, 0], keys, values, self.lengths, self.starts)[:, :, None]

    def _positions_first(self, cached: torch.Tensor) -> torch.Tensor:
        """A layer's keys or values (slots, heads, capacity, width) -> (slots, capacity, heads, width), as they lie."""
        return cached.transpose(1, 2)


class CachedAttention:
    """One new position a slot, which sees all that its slot holds up to itself.

    ``positions`` (slots,) int64 says where each slot's new key and value go. Slots are read up to their ``extents``
    (:meth:`KeyValueCache.extents`); what lies behind a slot's own position has weight exactly 0, so that a slot's
    result does not depend on the others.
    """

    def __init__(self, cache: KeyValueCache, positions: torch.Tensor, extents: Sequence[int]) -> None:
        self.cache = cache
        self.positions = positions
        self.extents = extents
        unseen = torch.arange(max(extents), device=positions.device) > positions[:, None]
        self.bias = torch.zeros(unseen.shape, dtype=cache.keys.dtype, device=positions.device)
        self.bias = self.bias.masked_fill_(unseen, float("-inf"))[:, None, None]

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        self.cache.put(layer, self.positions, key, value)
        keys, values = self.cache.keys[layer], self.cache.values[layer]
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
