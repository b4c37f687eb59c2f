"""Attention to a cache by torch's variable-length kernel, which reads every slot up to its own position: on CUDA.

A mask over the longest would read 1.5 times as much where decoding goes on in slots that are refilled, and reading is
what decoding waits for.
"""

from collections.abc import Sequence

import torch

from renderer.decoding.key_values.cache import KeyValueCache, grown
from renderer.model.attention import Attend
from renderer.model.varlen import Spans, VarlenKernel


class RaggedCache(KeyValueCache):
    """Keys and values (layers, slots, capacity, heads, width): a position's heads lie beside one another."""

    def __init__(
        self,
        layers: int,
        slots: int,
        heads: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        kernel: VarlenKernel,
    ) -> None:
        empty = torch.zeros(layers, slots, 0, heads, width, dtype=dtype, device=device)
        super().__init__(empty, empty.clone())
        self.kernel = kernel

    @property
    def capacity(self) -> int:
        """See ``KeyValueCache``."""
        return self.keys.shape[2]

    def grow(self, positions: int) -> None:
        """See ``KeyValueCache``."""
        self.keys, self.values = grown(self.keys, 2, positions), grown(self.values, 2, positions)

    def fill(self, layer: int, slot: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """See ``KeyValueCache``."""
        self.keys[layer, slot, : key.shape[1]] = key.transpose(0, 1)
        self.values[layer, slot, : value.shape[1]] = value.transpose(0, 1)

    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """The capacity: the kernel knows by itself how far to read."""
        return (self.capacity,)

    def attend(self, positions: torch.Tensor, extents: tuple[int, ...]) -> Attend:
        """See ``KeyValueCache``."""
        return RaggedAttention(self, positions)


class RaggedAttention:
    """One new position a slot."""

    def __init__(self, cache: RaggedCache, positions: torch.Tensor) -> None:
        self.cache = cache
        self.positions = positions
        self.lengths = (positions + 1).to(torch.int32)
        slots = torch.arange(len(positions) + 1, dtype=torch.int32, device=positions.device)
        self.asking, self.asked = Spans(slots, 1), Spans(slots * cache.capacity, cache.capacity)

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``; T is 1."""
        slots = self.cache.slots[: len(self.positions)]
        keys, values = self.cache.keys[layer, : len(slots)], self.cache.values[layer, : len(slots)]
        keys[slots, self.positions] = key[:, :, 0].to(keys.dtype)
        values[slots, self.positions] = value[:, :, 0].to(values.dtype)
        attended = self.cache.kernel.attend(
            query[:, :, 0].contiguous(),
            keys.flatten(0, 1),
            values.flatten(0, 1),
            self.asking,
            self.asked,
            self.lengths,
        )
        return attended[:, :, None]
