"""Keys and values that are filled by packs of sequences, and read in every slot up to its own position: on CUDA.

A mask over the longest would read 1.5 times as much where decoding goes on in slots that are refilled, and reading is
what decoding waits for.
"""

import torch

from renderer.decoding.key_values.cache import grown, in_steps
from renderer.model.varlen import Spans, VarlenKernel


class RaggedCache:
    """Keys and values (layers, slots + 1, capacity, heads, width): a position's heads lie beside one another.

    The last slot is nobody's: what fills packs and steps up goes there.
    """

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
        self.slots = slots
        self.kernel = kernel
        self.keys, self.values = (
            torch.zeros(layers, slots + 1, 0, heads, width, dtype=dtype, device=device) for _ in range(2)
        )

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that a step reads and writes."""
        return self.keys, self.values

    @property
    def capacity(self) -> int:
        """Positions a slot can hold."""
        return self.keys.shape[2]

    def reserve(self, positions: int) -> None:
        """Grow, if need be, until every slot can hold this many positions; what is stored stays."""
        if (more := in_steps(positions) - self.capacity) > 0:
            self.keys, self.values = grown(self.keys, 2, more), grown(self.values, 2, more)

    def move(self, source: int, target: int) -> None:
        """Keep in one slot what another holds."""
        for kept in self.tensors:
            kept[:, target] = kept[:, source]

    def first_place(self, slot: int) -> int:
        """Where a slot's positions begin among those of all, which are counted one slot after the other."""
        return slot * self.capacity

    def fill(self, layer: int, places: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep keys and values (N, heads, width) at ``places`` (N,) int64."""
        for kept, new in ((self.keys, key), (self.values, value)):
            kept[layer].flatten(0, 1).index_copy_(0, places, new.to(kept.dtype))

    def attend(self, positions: torch.Tensor) -> "RaggedAttention":
        """The attention of one step, whose keys and values go to the slots' ``positions`` (R,) int64.

        There may be more rows than slots: they see no more than themselves.
        """
        return RaggedAttention(self, positions)


class RaggedAttention:
    """One new position a slot, which sees all that the slot holds up to it."""

    def __init__(self, cache: RaggedCache, positions: torch.Tensor) -> None:
        self.cache = cache
        rows = torch.arange(len(positions) + 1, device=positions.device)
        starts = rows.clamp(max=cache.slots) * cache.capacity
        self.places = starts[:-1] + positions
        self.lengths = (positions + 1).to(torch.int32)
        self.asking = Spans(rows.to(torch.int32), 1)
        self.asked = Spans(starts.to(torch.int32), cache.capacity)

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.model.attention.Attend``; T is 1."""
        cache = self.cache
        cache.fill(layer, self.places, key[:, :, 0], value[:, :, 0])
        attended = cache.kernel.attend(
            query[:, :, 0],
            cache.keys[layer].flatten(0, 1),
            cache.values[layer].flatten(0, 1),
            self.asking,
            self.asked,
            self.lengths,
        )
        return attended[:, :, None]
