"""How a manifest is cut into shards, and which seed an item gets."""

import hashlib
import math

from schemas.run import Shard

MAX_SHARD_ITEMS = 100
SHARDS_PER_ACTOR = 4
"""So many shards let actors finish at about the same time."""


def plan_shards(items: int, actors: int, shard_items: int | None = None, batch_size: int = 1) -> tuple[Shard, ...]:
    """Cut rows 0..items into shards of ``shard_items``.

    By default they are enough to keep all actors busy until the end, but hold as many items each as the batch has
    places, where there are so many: so that one and what is begun of the next keep it full.
    """
    even = math.ceil(items / actors)
    shards_an_actor = max(1, min(SHARDS_PER_ACTOR, even // batch_size))
    most = max(MAX_SHARD_ITEMS, batch_size)
    size = shard_items or min(math.ceil(even / shards_an_actor), most)
    starts = range(0, items, size)
    return tuple(Shard(index, start, min(size, items - start)) for index, start in enumerate(starts))


def item_seed(run_seed: int, item_id: str) -> int:
    """The seed of an item whose manifest row has none: 63 bits that only the run's seed and the id decide."""
    digest = hashlib.blake2b(f"{run_seed}/{item_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
