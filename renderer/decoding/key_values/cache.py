"""What the AR decoder keeps of the positions before."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from renderer.model.attention import Attend

EXTENT_STEP = 64


class KeyValueCache(ABC):
    """Keys and values of the AR decoder: in every layer a sequence a slot, front to back.

    How ``keys`` and ``values`` lie in memory, behind (layers, slots, ...), is for those to say who read them.
    ``capacity`` is how many positions a slot can hold, a multiple of EXTENT_STEP.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values = keys, values
        self.slots = torch.arange(keys.shape[1], device=keys.device)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that a step reads and writes."""
        return tuple(value for value in vars(self).values() if isinstance(value, torch.Tensor))

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Positions a slot can hold."""

    @abstractmethod
    def grow(self, positions: int) -> None:
        """Make room for so many more positions, a multiple of EXTENT_STEP; what is stored stays."""

    @abstractmethod
    def fill(self, layer: int, slot: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the first keys and values of a slot, (heads, T, width) each."""

    @abstractmethod
    def extents(self, used: Sequence[int]) -> tuple[int, ...]:
        """How far to read where slots hold so many positions, in few sizes: for all of them or for each."""

    @abstractmethod
    def attend(self, positions: torch.Tensor, extents: tuple[int, ...]) -> Attend:
        """The attention of one step of the first slots, whose keys and values go to their ``positions`` (n,) int64.

        A slot sees all that it holds up to its own position; what others hold does not change its result.
        """

    def move(self, source: int, target: int) -> None:
        """Keep in one slot what another holds."""
        for kept in (self.keys, self.values):
            kept[:, target] = kept[:, source]

    def reserve(self, positions: int) -> None:
        """Grow, if need be, until every slot can hold this many positions."""
        if positions > self.capacity:
            self.grow(in_steps(positions) - self.capacity)


def in_steps(positions: int) -> int:
    """The next multiple of EXTENT_STEP, at least one."""
    return max(1, -(-positions // EXTENT_STEP)) * EXTENT_STEP


def grown(tensor: torch.Tensor, dimension: int, more: int) -> torch.Tensor:
    """A tensor with so many zeros behind it in one dimension."""
    shape = list(tensor.shape)
    shape[dimension] = more
    if not tensor.numel():
        return tensor.new_zeros(shape)  # For a moment, joining takes twice the memory.
    return torch.cat([tensor, tensor.new_zeros(shape)], dim=dimension)
