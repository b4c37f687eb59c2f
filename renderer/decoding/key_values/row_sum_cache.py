"""Attention to a cache as sums of scaled rows: on x86, where FBGEMM adds up rows as fast as they can be read.

torch's scaled dot product is made for many queries at once. With the single one of a decoding step, one core of an AMD
EPYC reads 6 GB/s of a cache in fp32 by it; by sums of rows 9, and in fp16, which are half as many bytes, 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from renderer.decoding.key_values.cache import EXTENT_STEP, KeyValueCache, grown, in_steps
from renderer.model.attention import Attend

BLOCK = EXTENT_STEP


class RowSumCache(KeyValueCache):
    """Keys (layers, slots, heads, blocks, width, BLOCK), values (layers, slots, heads, capacity, width).

    The scores of a block of positions are a sum of rows, too: of what its keys have in each of their ``width`` places,
    times what the query has there. That is why positions lie along the rows of keys.
    """

    def __init__(self, layers: int, slots: int, heads: int, width: int, dtype: torch.dtype) -> None:
        super().__init__(
            torch.zeros(layers, slots, heads, 0, width, BLOCK, dtype=dtype),
            torch.zeros(layers, slots, heads, 0, width, dtype=dtype),
        )
        self._rows: _Rows | None = None

    @property
    def capacity(self) -> int:
        """See ``KeyValueCache``."""
        return self.values.shape[3]

    def grow(self, positions: int) -> None:
        """See ``KeyValueCache``."""
        self.keys, self.values = grown(self.keys, 3, positions // BLOCK), grown(self.values, 3, positions)
        self._rows = None

    def fill(self, layer: int, slot: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See ``KeyValueCache``."""
        positions = key.shape[1]
        blocks = F.pad(key, (0, 0, 0, in_steps(positions) - positions)).unflatten(1, (-1, BLOCK)).transpose(2, 3)
        self.keys[layer, slot, :, : blocks.shape[1]] = blocks
        self.values[layer, slot, :, :positions] = value

    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """Each slot's own."""
        return tuple(in_steps(positions) for positions in used)

    def attend(self, positions: torch.Tensor, extents: tuple[int, ...]) -> Attend:
        """See ``KeyValueCache``."""
        if self._rows is None or self._rows.extents != extents:
            self._rows = _Rows.up_to(extents, self.keys.shape[2], self.keys.shape[4], self.capacity)
        return RowSumAttention(self, self._rows, positions)


@dataclass(frozen=True)
class _Rows:
    """Which rows are added up where slots are read up to their ``extents``: a slot's heads one after the other.

    ``values`` (N,) are the rows of all positions that are read, and ``first`` (slots * heads,) says where a head's
    begin among them. Of all blocks: the ``head`` among all slots' (blocks,), and the rows of their ``keys`` (blocks,
    width); ``last`` (slots * heads,) are those in which the new positions lie.
    """

    extents: tuple[int, ...]
    values: torch.Tensor
    first: torch.Tensor
    head: torch.Tensor
    keys: torch.Tensor
    last: torch.Tensor

    @classmethod
    def up_to(cls, extents: tuple[int, ...], heads: int, width: int, capacity: int) -> "_Rows":
        lengths = torch.tensor(extents).repeat_interleave(heads)
        head = torch.arange(len(lengths)).repeat_interleave(lengths // BLOCK)
        first = lengths.cumsum(0) - lengths
        block = torch.arange(len(head)) - (first // BLOCK)[head] + head * (capacity // BLOCK)
        return cls(
            extents,
            values=(block[:, None] * BLOCK + torch.arange(BLOCK)).flatten(),
            first=first,
            head=head,
            keys=block[:, None] * width + torch.arange(width),
            last=(first + lengths) // BLOCK - 1,
        )


class RowSumAttention:
    """One new position a slot; what lies behind a slot's own position has weight exactly 0."""

    def __init__(self, cache: RowSumCache, rows: _Rows, positions: torch.Tensor) -> None:
        self.cache = cache
        self.rows = rows
        self.positions = positions
        self.blocks, self.places = positions // BLOCK, positions % BLOCK
        unseen = torch.arange(BLOCK) > self.places[:, None]
        bias = torch.zeros(unseen.shape, dtype=cache.keys.dtype).masked_fill_(unseen, float("-inf"))
        self.bias = bias.repeat_interleave(cache.keys.shape[2], dim=0)

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        rows, slots = self.rows, self.cache.slots[: len(self.positions)]
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[slots, :, self.blocks, :, self.places] = key[:, :, 0].to(keys.dtype)
        values[slots, :, self.positions] = value[:, :, 0].to(values.dtype)
        heads, width = query.shape[1], query.shape[3]
        asked = (query * width**-0.5).to(keys.dtype).view(-1, width)
        of_blocks = asked.index_select(0, rows.head)  # asked[rows.head] takes nine times as long.
        scores = F.embedding_bag(rows.keys, keys.view(-1, BLOCK), mode="sum", per_sample_weights=of_blocks)
        scores.index_add_(0, rows.last, self.bias)
        of_slots = scores.flatten().split([heads * extent for extent in rows.extents])
        weights = torch.cat([of_slot.view(heads, -1).softmax(-1).flatten() for of_slot in of_slots])
        seen = F.embedding_bag(
            rows.values, values.view(-1, width), rows.first, mode="sum", per_sample_weights=weights.to(values.dtype)
        )
        return seen.view(query.shape).to(query.dtype)
