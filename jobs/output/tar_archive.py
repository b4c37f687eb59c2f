"""Layout ``webdataset``: a tar file with ``<item_id>.flac``, ``.mid``, ``.json`` and, if kept, ``.codes.npy``."""

import base64
import datetime
import io
import json
import math
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.types as pt

from jobs.output.writers import Encoded, ItemEncoder

_ROWS_AT_ONCE = 32


def write_tar(file: BinaryIO, results: pa.Table, read: Callable[[str], Encoded], encoder: ItemEncoder) -> None:
    """Write the rows' items, in their order. Headers hold no times and no users, so equal items give equal bytes."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for row in json_rows(results.drop_columns(["notes"])):
            item_id = row["item_id"]
            encoded = read(item_id)
            row_json = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
            members = {
                encoder.suffix: encoded.audio,
                ".mid": encoded.midi,
                ".json": row_json,
                ".codes.npy": encoded.codes,
            }
            write_members(tar, {f"{item_id}{end}": data for end, data in members.items() if data is not None})


def tar_members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The names and contents of a tar file's members, one in memory at a time."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                yield member.name, content.read()


def tar_member(file: BinaryIO, name: str) -> bytes | None:
    """The content of one member, None if there is none of this name; what the others hold is passed over."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        content = next((tar.extractfile(member) for member in tar if member.name == name), None)
        return None if content is None else content.read()


def json_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows of plain JSON values, some in memory at a time.

    Times become ISO 8601 text (durations: their number, in the column's unit), bytes base64 text, maps objects, and
    NaN and infinity null; what else JSON has no form for becomes text.
    """
    for name, field in zip(table.column_names, table.schema, strict=True):
        if pt.is_temporal(field.type):  # Python's types would lose nanoseconds.
            text = table[name].cast(pa.int64() if pt.is_duration(field.type) else pa.string())
            table = table.set_column(table.column_names.index(name), name, text)
    for first in range(0, len(table), _ROWS_AT_ONCE):
        for row in table.slice(first, _ROWS_AT_ONCE).to_pylist(maps_as_pydicts="lossy"):
            yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def write_members(tar: tarfile.TarFile, members: Mapping[str, bytes]) -> None:
    """Add files with these names, without times or users."""
    for name, content in members.items():
        header = tarfile.TarInfo(name)
        header.size = len(content)
        tar.addfile(header, io.BytesIO(content))
