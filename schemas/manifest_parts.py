"""Manifests that are no single Parquet file: CSV, JSON lines, or several files, made one table.

CSV has no types. Columns that must hold numbers are read so; every other one is text as it stands there, so that
no leading zero is lost.
"""

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from schemas.checks import TEXT, Problems, check_columns, open_parquet, readable
from schemas.manifest import BATCH_ROWS, COLUMNS, Manifest, ManifestError

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_EMPTY = ["", "nan", "NaN"]
"""How an absent value stands in CSV; pandas writes the first."""


def is_manifest_name(name: str) -> bool:
    """Whether a file of this name can be a part of a manifest."""
    return name.lower().endswith(SUFFIXES)


def open_manifest(paths: Sequence[Path], location: str) -> Manifest:
    """The manifest in these files, their rows one after the other; ManifestError if it cannot be opened.

    A single Parquet file is read where it lies. Everything else is first made a Parquet file, without a name and
    gone with this process, in the folder for temporary files. ``location`` names the whole to people.
    """
    if len(paths) == 1 and not _is_text(paths[0]):
        return Manifest.open(paths[0])
    schema = _common_schema(paths, location)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the manifest.
    with pq.ParquetWriter(file, schema) as writer:
        for path in paths:
            for batch in _batches(path):
                columns = [_column(batch, field) for field in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return Manifest.of(Path(location), pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False))


def _common_schema(paths: Sequence[Path], location: str) -> pa.Schema:
    """All columns of all files; each file must be a manifest by itself, but for having rows."""
    schemas = []
    for path in paths:
        problems = Problems()
        schemas.append(_schema(path))
        check_columns(schemas[-1], COLUMNS, problems)
        if problems:
            raise ManifestError(str(path), list(problems))
    try:
        return pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
    except pa.ArrowException as error:
        raise ManifestError(location, [f"its files have columns that do not go together: {error}"]) from None


def _column(batch: pa.RecordBatch, field: "pa.Field[Any]") -> "pa.Array[Any]":
    if field.name not in batch.schema.names:
        return pa.nulls(len(batch), field.type)
    return batch.column(field.name).cast(field.type)


def _schema(path: Path) -> pa.Schema:
    if not _is_text(path):
        return open_parquet(path, ManifestError).schema_arrow
    return _table(path).schema


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if _is_text(path):
        yield from _table(path).to_batches(BATCH_ROWS)
        return
    with readable(path, ManifestError):
        yield from open_parquet(path, ManifestError).iter_batches(BATCH_ROWS, use_threads=False)


def _is_text(path: Path) -> bool:
    return is_manifest_name(path.name) and not path.name.lower().endswith(".parquet")


def _table(path: Path) -> pa.Table:
    """A text file's rows; it is read anew each time, so that only one file is in memory."""
    is_csv = path.name.lower().removesuffix(".gz").endswith(".csv")
    read: Callable[[Path], pa.Table] = _read_csv if is_csv else _read_json_lines
    try:
        return read(path)
    except FileNotFoundError:
        raise ManifestError(str(path), ["there is no such file"]) from None
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        kind = "CSV" if is_csv else "JSON lines"
        raise ManifestError(str(path), [f"cannot be read as {kind}: {str(error).splitlines()[0]}"]) from None


def _read_csv(path: Path) -> pa.Table:
    names = pa_csv.open_csv(path, convert_options=pa_csv.ConvertOptions(check_utf8=False)).schema.names
    inferred = {column.name for column in COLUMNS if column.type is not TEXT}
    types = {name: pa.string() for name in names if name not in inferred}
    options = pa_csv.ConvertOptions(column_types=types, null_values=_EMPTY, strings_can_be_null=True)
    quoted = pa_csv.ParseOptions(newlines_in_values=True)
    return pa_csv.read_csv(path, parse_options=quoted, convert_options=options)


def _read_json_lines(path: Path) -> pa.Table:
    rows: list[dict[str, Any]] = []
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object")
            rows.append(row)
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except pa.ArrowException as error:
            raise ValueError(f"column {name!r} holds values of several types: {error}") from None
    return pa.table(columns)
