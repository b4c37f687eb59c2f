"""Batches in an order that a step's number decides: a training that goes on reads what it would have read."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class ShuffledBatches(Sampler[list[int]]):
    """The ``batch_sampler`` of a ``DataLoader``: places of items, shuffled anew for every pass, without an end.

    Begins at ``first_step``; each step's batch is a function of ``seed`` and the step alone. What does not fill a batch
    at the end of a pass is left out of that pass.
    """

    def __init__(self, items: int, batch_size: int, seed: int = 0, first_step: int = 0) -> None:
        if not 1 <= batch_size <= items:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 to {items}, the items that there are")
        self._items, self._batch_size = items, batch_size
        self._seed, self._first_step = seed, first_step

    def __iter__(self) -> Iterator[list[int]]:
        steps = self._items // self._batch_size
        epoch, step = divmod(self._first_step, steps)
        while True:
            random = torch.Generator().manual_seed((self._seed * 1_000_003 + epoch) % 2**63)
            order = torch.randperm(self._items, generator=random).tolist()
            for start in range(step * self._batch_size, steps * self._batch_size, self._batch_size):
                yield order[start : start + self._batch_size]
            epoch, step = epoch + 1, 0
