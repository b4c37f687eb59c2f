"""The result rows that a report goes by, as columns: all of a run's, or of a very large one those of some shards."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.run_directory.run_directory import READERS, RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run

READ_ITEMS = 200_000
"""So many items are read at most, of shards that are evenly spread: a report must not take longer than a run."""

FAILING_SHARDS = 200
"""Of so many more shards the failed items are read, where not all are read anyway."""

_TEXTS = (
    *("item_id", "status", "error_type", "error_message", "midi", "prompt", "prompt_audio", "prompt_midi"),
    *("prompt_id", "split", "audio_path", "midi_path", "codes_path", "verdict"),
)
_NUMBERS = (
    *("duration_s", "peak", "rms_dbfs", "quality_score", "notes_found", "attacks_explained", "codes_match"),
    *("silence_s", "joint_prominence"),
)
_ADDED = ("row", "metadata")

ITEM_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("faults", pa.list_(pa.string())),
        pa.field("equalizer_db", pa.list_(pa.float32())),
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
        pa.field("seed", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("metadata", pa.string()),
    ]
)
"""The columns of an item; what a manifest has not, or an older version has not measured, is null. ``row`` is the
manifest's, counted from 0, and ``metadata`` the key of the object that holds all of the item's result row."""

Row = dict[str, Any]
Value = TypeVar("Value")


def read_items(directory: RunDirectory, run: Run, totals: Totals) -> pa.Table:
    """The rows of finished shards (:data:`ITEM_SCHEMA`), in the manifest's order; StorageError if they cannot be read.

    Where they are more than :data:`READ_ITEMS`, the rows of some shards, evenly spread, and of some others those that
    failed.
    """
    finished = sorted(totals.shards)
    most = max(1, READ_ITEMS * len(finished) // max(1, totals.items))
    read = spread(finished, most)
    failing = spread(sorted(set(totals.shards_with_failures) - set(read)), FAILING_SHARDS)
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(lambda shard: _items(directory, run, shard, totals.shards[shard]), [*read, *failing]))
    failed = [table.filter(pc.equal(table["status"], pa.scalar("failed"))) for table in tables[len(read) :]]
    return pa.concat_tables([ITEM_SCHEMA.empty_table(), *tables[: len(read)], *failed]).sort_by("row")


def _items(directory: RunDirectory, run: Run, shard: int, generation: int) -> pa.Table:
    key = directory.marker(shard, generation).metadata.key
    with directory.storage.open_parts(key) as file:
        parquet = pq.ParquetFile(file)
        wanted = [name for name in ITEM_SCHEMA.names if name in parquet.schema_arrow.names and name not in _ADDED]
        found = parquet.read(wanted)
    first = run.shards[shard].first_row
    found = found.append_column("row", pa.array(range(first, first + len(found))))
    found = found.append_column("metadata", pa.array([key] * len(found), pa.string()))
    columns = [_column(found, field) for field in ITEM_SCHEMA]
    return pa.Table.from_arrays(columns, schema=ITEM_SCHEMA)


def _column(found: pa.Table, field: "pa.Field[Any]") -> "pa.Array[Any] | pa.ChunkedArray[Any]":
    """A column of the rows as its plain type: a manifest's own may be of another."""
    if field.name not in found.column_names:
        return pa.nulls(len(found), field.type)
    return found[field.name].cast(field.type)


def spread(values: Sequence[Value], most: int) -> list[Value]:
    """The values, or so many of them, evenly spread from the first on."""
    count = min(most, len(values))
    return [values[index * len(values) // count] for index in range(count)]
