"""In which order shards are rendered: the longest work first, so that no actor is left with it at the end."""

from collections.abc import Sequence

import numpy as np

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs, is_s3
from schemas.manifest import MIDI, Manifest
from schemas.run import Shard

WEIGHED_ITEMS = 100_000
"""Of so many items the MIDI files are looked at; with more, shards hold more and differ less."""


def longest_first(manifest: Manifest, folder: str, inputs: Inputs, shards: Sequence[Shard]) -> list[Shard]:
    """The shards by the size of their MIDI files; as they are, where those are many or not local files.

    ``folder`` is the manifest's own, in which relative names lie.
    """
    if manifest.row_count > WEIGHED_ITEMS or is_s3(folder):
        return list(shards)
    names: list[str] = [str(name) for batch in manifest.batches(MIDI) for name in batch.column(0).to_pylist()]
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
