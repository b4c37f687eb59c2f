"""Layout ``parquet``: result rows with their audio, as Hugging Face ``datasets`` reads it."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from jobs.output.writers import Encoded, ItemEncoder

AUDIO, MIDI, CODES = "audio", "midi_bytes", "codes"
AUDIO_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
CODES_TYPE = pa.list_(pa.list_(pa.uint16()))

ROW_GROUP_BYTES = 1 << 19
"""A row group is written as soon as its audio is this long. To read one item, its whole row group must be read."""

ROW_GROUP_ITEMS = 1000


def write_parquet(file: BinaryIO, results: pa.Table, read: Callable[[str], Encoded], encoder: ItemEncoder) -> None:
    """Write the rows, followed by the columns ``audio``, ``midi_bytes`` and, if kept, ``codes`` (K lists of T)."""
    results = _plain_columns(results)
    rates = set(results["sample_rate"].to_pylist())
    feature = {"_type": "Audio"} | ({"sampling_rate": rates.pop()} if len(rates) == 1 else {})
    metadata = {"huggingface": json.dumps({"info": {"features": {AUDIO: feature}}})}
    writer: pq.ParquetWriter | None = None
    for first, items in _row_groups(_ids(results), read):
        group = results.slice(first, len(items))
        for name, column in _columns(_ids(group), items, encoder):
            group = group.append_column(name, column)
        if writer is None:
            schema = group.schema.with_metadata(metadata)
            # Audio is compressed already, and no two items' is the same.
            writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False)
        writer.write_table(group, row_group_size=len(group))
    if writer is not None:
        writer.close()


def parquet_audio(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The name and the audio file of every row, one row group in memory at a time."""
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        for row in parquet.read_row_group(group, [AUDIO]).to_pylist():
            yield row[AUDIO]["path"], row[AUDIO]["bytes"]


def parquet_member(file: BinaryIO, name: str) -> bytes | None:
    """The audio file of the row of one name, None if there is none; of the other row groups only names are read."""
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        names = [row[AUDIO]["path"] for row in parquet.read_row_group(group, [f"{AUDIO}.path"]).to_pylist()]
        if name in names:
            (row,) = parquet.read_row_group(group, [AUDIO]).slice(names.index(name), 1).to_pylist()
            return bytes(row[AUDIO]["bytes"])
    return None


def _ids(results: pa.Table) -> list[str]:
    return [str(item_id) for item_id in results["item_id"].to_pylist()]


def _row_groups(item_ids: Sequence[str], read: Callable[[str], Encoded]) -> Iterator[tuple[int, list[Encoded]]]:
    """The items as groups, each with its first row."""
    first, size = 0, 0
    items: list[Encoded] = []
    for row, item_id in enumerate(item_ids):
        items.append(read(item_id))
        size += len(items[-1].audio)
        if size >= ROW_GROUP_BYTES or len(items) == ROW_GROUP_ITEMS:
            yield first, items
            first, size, items = row + 1, 0, []
    if items:
        yield first, items


def _columns(
    ids: Sequence[str], items: Sequence[Encoded], encoder: ItemEncoder
) -> Iterator[tuple[Any, "pa.Array[Any]"]]:
    audio = [{"bytes": item.audio, "path": f"{id_}{encoder.suffix}"} for id_, item in zip(ids, items, strict=True)]
    yield AUDIO, pa.array(audio, AUDIO_TYPE)
    yield MIDI, pa.array([item.midi for item in items], pa.binary())
    if encoder.save_codes:
        codes = [list(np.load(io.BytesIO(item.codes))) for item in items if item.codes is not None]
        yield CODES, pa.array(codes, CODES_TYPE)


def _plain_columns(table: pa.Table) -> pa.Table:
    """Columns of types that ``datasets`` does not know as the same values in types that it does."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if isinstance(field.type, pa.MapType):
            entry = pa.struct([("key", field.type.key_type), ("value", field.type.item_type)])
            table = table.set_column(index, field.name, column.cast(pa.list_(entry)))
        elif pt.is_dictionary(field.type):
            table = table.set_column(index, field.name, column.cast(field.type.value_type))
    return table
