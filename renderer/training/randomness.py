"""Chance without a state: what a step draws is a function of the seed and the step alone.

So a training that was killed and goes on draws what an undisturbed one would have drawn.
"""

import hashlib
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray


def key_of(*place: int | str) -> int:
    """63 bits that belong to a place, such as (seed, "dropout", step)."""
    text = "/".join(str(part) for part in place)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def random_at(*place: int | str) -> np.random.Generator:
    """The random numbers of a place."""
    return np.random.default_rng(key_of(*place))


def seed_torch(*place: int | str) -> None:
    """Let torch's own generators, which dropout and initialisation draw from, begin anew for a place."""
    torch.manual_seed(key_of(*place))


def shuffled(index: int, size: int, *place: int | str) -> int:
    """Element ``index`` of an endless series in which every ``size`` elements are 0..size - 1, each time reshuffled."""
    epoch, position = divmod(index, size)
    return int(_permutation(size, *place, "epoch", epoch)[position])


@lru_cache(4)
def _permutation(size: int, *place: int | str) -> NDArray[np.int64]:
    return random_at(*place).permutation(size)
