"""``midi-valle verify``: whether all that a run's markers promise is there, whole and readable."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inputs.manifest_files import ManifestFiles
from jobs.inspect.shard_check import FinishedShard, ShardChecker
from jobs.inspect.spread import Here, Spread
from jobs.run_directory.run_directory import RunDirectory
from schemas.manifest import ITEM_ID, ManifestError
from schemas.run import Run

LEAST_ITEMS, MOST_ITEMS = 500, 20_000
"""So many are checked at a time by one process: more are listed together, fewer are in memory."""

BATCHES_EACH = 8
Advance = Callable[[int], object]


def find_problems(
    directory: RunDirectory,
    inputs: Inputs,
    quick: bool = False,
    progress: Advance | None = None,
    spread: Spread | None = None,
) -> Iterator[str]:
    """Everything that is wrong with a run, one line each; ``progress`` is called with items as they are checked.

    Each object must have the size and the hash that its marker states, each manifest row exactly one result
    row, and the audio the stated number of samples. ``quick`` goes by sizes alone and decodes nothing. The work is
    ``spread`` over processes, or done in this one. Some shards at a time are in memory, never the run. JobError if
    there is no run, or its markers cannot be read.
    """
    run, spread = directory.begun(), spread or Here()
    item_ids = _ItemIds(run, inputs)
    yield from item_ids.problems
    keys = directory.marker_keys()
    checker = ShardChecker(directory.storage, run.settings.layout, quick)
    items: deque[int] = deque()
    for found in spread.results(checker.check, _batches(run, keys, item_ids, spread.width, items)):
        yield from found
        if progress is not None:
            progress(items.popleft())
    missing = [shard for shard in run.shards if shard.index not in keys]
    if missing:
        rows = sum(shard.row_count for shard in missing)
        first = ", ".join(str(shard.index) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
        yield f"not finished: {len(missing):,} shards ({first}), so {rows:,} manifest rows have no result"


def _batches(
    run: Run, keys: dict[int, str], item_ids: "_ItemIds", width: int, items: deque[int]
) -> Iterator[list[FinishedShard]]:
    """The finished shards, some at a time; of how many ``items`` each batch is, is noted there."""
    most = min(MOST_ITEMS, max(LEAST_ITEMS, run.items // (BATCHES_EACH * width)))
    batch: list[FinishedShard] = []
    for shard in run.shards:
        ids = item_ids.next(shard.row_count)
        if shard.index in keys:
            batch.append(FinishedShard(shard, keys[shard.index], ids))
        if batch and (_items(batch) >= most or shard is run.shards[-1]):
            items.append(_items(batch))
            yield batch
            batch = []


def _items(batch: list[FinishedShard]) -> int:
    return sum(finished.shard.row_count for finished in batch)


class _ItemIds:
    """The manifest's item ids, as a stream."""

    def __init__(self, run: Run, inputs: Inputs) -> None:
        self.problems: list[str] = []
        self._ids: Iterator[str] | None = None
        try:
            self._files = ManifestFiles.find(run.manifest_path, inputs)
            manifest = self._files.open()
            if manifest.rows_sha256(run.items) == run.rows_sha256:
                batches = manifest.batches(ITEM_ID)
                self._ids = (str(item_id) for batch in batches for item_id in batch.column(0).to_pylist())
                return
            reason = f"{run.manifest_path} is not the run's manifest any more"
        except (JobError, ManifestError) as error:
            reason = str(error)
        self.problems.append(f"result rows cannot be compared with the manifest: {reason}")

    def next(self, count: int) -> list[str] | None:
        """The following ids; None if there is no manifest to take them from."""
        return None if self._ids is None else list(islice(self._ids, count))
