"""How a manifest is cut into shards, and which seed an item gets."""

import hashlib
import math

from schemas.run import Shard

MAX_SHARD_ITEMS = 100
SHARD_BATCHES = 6
"""At the end of a shard the batch runs empty. With items of 30 s and as many of them as fill it so often, it is 96 %
full in all; so with large batches a shard may have more items."""

SHARDS_PER_ACTOR = 4
"""So many shards let actors finish at about the same time."""

FULL_BATCH_ITEMS = 8
"""So many items fill a batch; with fewer, part of it is computed for nothing."""


def plan_shards(items: int, actors: int, shard_items: int | None = None, batch_size: int = 1) -> tuple[Shard, ...]:
    """Cut rows 0..items into shards of ``shard_items``.

    By default they are few enough to keep all actors busy, and enough to keep batches of ``batch_size`` full.
    """
    even = math.ceil(items / actors)
    balanced = math.ceil(items / (SHARDS_PER_ACTOR * actors))
    most = max(MAX_SHARD_ITEMS, SHARD_BATCHES * batch_size)
    size = shard_items or min(max(balanced, min(even, FULL_BATCH_ITEMS)), most)
    starts = range(0, items, size)
    return tuple(Shard(index, start, min(size, items - start)) for index, start in enumerate(starts))


def item_seed(run_seed: int, item_id: str) -> int:
    """The seed of an item whose manifest row has none: 63 bits that only the run's seed and the id decide."""
    digest = hashlib.blake2b(f"{run_seed}/{item_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
