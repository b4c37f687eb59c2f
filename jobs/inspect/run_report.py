"""What a run was asked, what it has done, and how fast: all that its report shows."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow.parquet as pq

from jobs.inspect.nodes import NodeRecord, read_nodes
from jobs.inspect.timeline import Timeline, read_timeline
from jobs.run_directory.run_directory import READERS, RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run

SAMPLED_SHARDS = 100
"""Of so many shards at most, evenly spread, the rows are read: a report must not take longer than a run."""

PLAYED_ITEMS = WORST_ITEMS = 8
SHOWN_REASONS = 20
COLUMNS = [
    *("item_id", "status", "error_message", "audio_path", "midi_path", "duration_s", "peak", "rms_dbfs"),
    *("verdict", "faults", "quality_score", "notes_found", "attacks_explained"),
]
"""What older versions have not measured is None."""

Row = dict[str, Any]
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class RunReport:
    """A run so far. ``rows`` are the results of some of its shards, ``messages`` those of failed items, by id."""

    place: str
    run: Run
    totals: Totals
    timeline: Timeline
    rows: Sequence[Row]
    messages: Mapping[str, str]
    nodes: Sequence[NodeRecord] = ()

    @property
    def rendered(self) -> Sequence[Row]:
        """Those of the rows that have audio."""
        return [row for row in self.rows if row["status"] == "ok"]

    @property
    def has_files(self) -> bool:
        """Whether an item's audio is a file of its own, which a page can play."""
        return self.run.settings.layout == "files"

    @property
    def played(self) -> Sequence[Row]:
        """Some rendered items, evenly spread, whose audio is a file of its own."""
        rows = self.rendered if self.has_files else []
        return _spread(rows, PLAYED_ITEMS)

    @property
    def worst(self) -> Sequence[Row]:
        """The poor items with the most faults, and among these those that play their notes worst."""
        poor = [row for row in self.rendered if row["verdict"] == "poor"]
        return sorted(poor, key=lambda row: (-len(row["faults"]), row["quality_score"], row["item_id"]))[:WORST_ITEMS]


def read_report(directory: RunDirectory, run: Run, totals: Totals) -> RunReport:
    """Read what there is to report of a run whose finished shards are ``totals``; StorageError if it cannot be read."""
    sampled = _spread(sorted(totals.shards), SAMPLED_SHARDS)
    failing = list(totals.shard_of_each_reason.values())[:SHOWN_REASONS]
    rows: list[Row] = []
    messages: dict[str, str] = {}
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda shard: _rows(directory, shard, totals.shards[shard]), [*sampled, *failing])
        for number, found in enumerate(read):
            messages |= {row["item_id"]: row["error_message"] for row in found if row["status"] == "failed"}
            rows += found if number < len(sampled) else []
    nodes = read_nodes(directory.storage)
    return RunReport(directory.storage.uri, run, totals, read_timeline(directory.storage), rows, messages, nodes)


def _rows(directory: RunDirectory, shard: int, generation: int) -> list[Row]:
    key = directory.marker(shard, generation).metadata.key
    file = pq.ParquetFile(io.BytesIO(directory.storage.read(key)))
    wanted = [name for name in COLUMNS if name in file.schema_arrow.names]
    return [dict.fromkeys(COLUMNS) | row for row in file.read(wanted).to_pylist()]


def _spread(values: Sequence[Value], most: int) -> list[Value]:
    """The values, or so many of them from the first on."""
    count = min(most, len(values))
    return [values[index * len(values) // count] for index in range(count)]
