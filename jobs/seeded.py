"""What is drawn at random but stays the same: by a seed and the names of what it is drawn for, in any order."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def digest(*parts: object) -> bytes:
    """Eight bytes that only these parts decide; to sort by them is to shuffle."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()


def generator(*parts: object) -> "np.random.Generator":
    """A generator of random numbers that only these parts decide."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(digest(*parts), "big"))
