"""How a manifest is cut into shards."""

import math

from schemas.run import Shard

MAX_SHARD_ITEMS = 100
SHARDS_PER_ACTOR = 4
"""So many shards an actor are enough: toward the end, actors share what is left."""


def plan_shards(items: int, actors: int, shard_items: int | None = None, batch_size: int = 1) -> tuple[Shard, ...]:
    """Cut rows 0..items into shards of ``shard_items``.

    By default each actor has as many as every other, of about as many items as the batch has places: so that one and
    what is begun of the next keep it full.
    """
    even = math.ceil(items / actors)
    most = max(MAX_SHARD_ITEMS, batch_size)
    shards_an_actor = max(1, min(SHARDS_PER_ACTOR, even // batch_size), math.ceil(even / most))
    size = shard_items or math.ceil(even / shards_an_actor)
    starts = range(0, items, size)
    return tuple(Shard(index, start, min(size, items - start)) for index, start in enumerate(starts))
