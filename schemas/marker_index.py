"""What many markers say, in one object: rows of an index, which may be wrong or lost, as the markers are there."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.marker import MarkerSummary

_TYPES: dict[str, pa.DataType] = {
    "key": pa.string(),
    "version": pa.string(),
    "bytes": pa.int64(),
    "marker": pa.string(),
}
SCHEMA = pa.schema(_TYPES)


class MarkerIndexError(Exception):
    """Not rows of an index."""


@dataclass(frozen=True)
class IndexRow:
    """A marker under a key, as it was read when it had that version and size."""

    key: str
    version: str
    bytes: int
    marker: MarkerSummary


def index_to_parquet(rows: Sequence[IndexRow]) -> bytes:
    """The rows as they are stored."""
    columns: dict[str, Sequence[object]] = {
        "key": [row.key for row in rows],
        "version": [row.version for row in rows],
        "bytes": [row.bytes for row in rows],
        "marker": [row.marker.to_json().decode() for row in rows],
    }
    data = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, SCHEMA), data, compression="zstd")
    return data.getvalue().to_pybytes()


def index_from_parquet(data: bytes) -> pa.Table:
    """A table of :data:`SCHEMA`, whose markers are JSON; MarkerIndexError if it is none."""
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except pa.ArrowException as error:
        raise MarkerIndexError(f"not rows of an index: {error}") from None
    if not table.schema.equals(SCHEMA):
        raise MarkerIndexError(f"not rows of an index, but of {', '.join(table.schema.names)}")
    return table
