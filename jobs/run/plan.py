"""How a manifest is cut into shards, and in which order they are rendered."""

import math
from collections.abc import Sequence

import numpy as np

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs, is_s3
from schemas.manifest import END, MIDI, Manifest
from schemas.run import Shard

MAX_SHARD_ITEMS = 100
SHARDS_PER_ACTOR = 4
"""So many shards let actors finish at about the same time."""

WEIGHED_ITEMS = 100_000
"""Of so many items the MIDI files are looked at; with more, shards hold more and differ less."""


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


def longest_first(manifest: Manifest, folder: str, inputs: Inputs, shards: Sequence[Shard]) -> list[Shard]:
    """The shards by the size of their MIDI files, so that no actor is left with the longest work at the end.

    As they are, where those are many or not local files, or where rows name parts of them, as a corpus' clips are.

    ``folder`` is the manifest's own, in which relative names lie.
    """
    if manifest.row_count > WEIGHED_ITEMS or is_s3(folder):
        return list(shards)
    names: list[str] = []
    for batch in manifest.batches(MIDI, END):
        names += [str(name) for name in batch.column(0).to_pylist()]
        if batch.column(1).null_count < len(batch):
            return list(shards)
    if any(is_s3(name) for name in names):
        return list(shards)
    sizes = np.array([_size(name, folder, inputs) for name in names])
    weight = {shard.index: int(sizes[shard.first_row :][: shard.row_count].sum()) for shard in shards}
    return sorted(shards, key=lambda shard: -weight[shard.index])


def _size(name: str, folder: str, inputs: Inputs) -> int:
    try:
        return inputs.local(name, folder).stat().st_size
    except (InputError, OSError):  # Its item will fail.
        return 0
