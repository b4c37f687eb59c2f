"""The tables of MAESTRO, ATEPP, GiantMIDI-Piano and ASAP, known by their columns, and tables of one's own."""

import csv
import gzip
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import JobError
from schemas.dataset_kinds import KINDS, DatasetKind

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_LONGEST_HEADING = 10_000


@dataclass(frozen=True, eq=False)
class DatasetTable:
    """A table's rows that name a MIDI file, with ``midi`` (R,) as they name it; the columns are all that it has."""

    kind: DatasetKind
    midi: Sequence[str]
    columns: pa.Table

    def pieces(self) -> list[str | None]:
        """What is played in each row; None where the table does not say."""
        names = self.kind.piece or (("piece",) if "piece" in self.columns.column_names else ())
        values = [self.columns.column(name).to_pylist() for name in names]
        rows = zip(*values, strict=True) if values else ((None,) for _ in self.midi)
        return [" / ".join(map(str, row)) if all(part not in (None, "") for part in row) else None for row in rows]


def is_table_name(name: str) -> bool:
    """Whether a file of this name can be a table."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def kind_of_csv(path: Path) -> DatasetKind | None:
    """Which kind of table a CSV is, by its first line; None if it is none, or cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(_LONGEST_HEADING)
        return _kind(next(csv.reader([line], delimiter="\t" if "\t" in line else ","), []))
    except (OSError, ValueError, csv.Error):
        return None


def read_dataset_table(path: Path, location: str) -> DatasetTable:
    """Read a table, which people know as ``location``; JobError if it is not of a kind that is known."""
    table = _read(path, location)
    table = table.select([name for name in table.column_names if name])
    kind = _kind(table.column_names)
    if kind is None:
        known = ", ".join(f"{midi} ({name})" for name, midi in {kind.name: kind.midi for kind in KINDS}.items())
        raise JobError(
            f"{location}: no table of a dataset that is known. One of these columns must name the MIDI files: {known}; "
            f"found are {', '.join(table.column_names)}"
        )
    text = table.schema.field(kind.midi).type
    if not (pa.types.is_string(text) or pa.types.is_large_string(text)):
        raise JobError(f"{location}: the column {kind.midi} holds {text}, which cannot name files")
    try:
        table = _typed(table, kind)
    except pa.ArrowException as error:
        raise JobError(f"{location}: {str(error).splitlines()[0]}") from None
    if not len(table):
        raise JobError(f"{location}: no row names a MIDI file in its column {kind.midi}")
    return DatasetTable(kind, [f"{name}{kind.ending}" for name in table.column(kind.midi).to_pylist()], table)


def _kind(names: Collection[str]) -> DatasetKind | None:
    return next((kind for kind in KINDS if {kind.midi, *kind.signs} <= set(names)), None)


def _typed(table: pa.Table, kind: DatasetKind) -> pa.Table:
    """The rows that count, with numbers where the kind has them."""
    named: Any = pc.fill_null(pc.not_equal(pc.utf8_length(table.column(kind.midi)), pa.scalar(0)), False)
    if kind.chosen is not None:
        chosen = pc.cast(table.column(kind.chosen), pa.string())
        known: Any = pc.is_in(chosen, pa.array(["1", "1.0"]))
        is_chosen: Any = pc.fill_null(known, False)
        named = pc.and_(named, is_chosen)
    table = table.filter(named)
    for name, number in (kind.numbers or {}).items():
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, _numbers(table.column(name), number))
    return table


def _numbers(column: Any, number: pa.DataType) -> Any:
    """The column as numbers, or as it is if some are none."""
    try:
        values = pc.cast(column, pa.string())
        return pc.cast(pc.if_else(pc.equal(values, pa.scalar("")), pa.scalar(None, pa.string()), values), number)
    except pa.ArrowInvalid:
        return column


def _read(path: Path, location: str) -> pa.Table:
    suffix = PurePosixPath(location.lower().removesuffix(".gz")).suffix
    try:
        if suffix == ".parquet":
            return pq.read_table(path)
        if suffix in (".json", ".jsonl"):
            return _read_json(path, location)
        return _read_csv(path, location)
    except FileNotFoundError:
        raise JobError(f"{location}: there is no such file") from None
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise JobError(f"{location}: cannot be read as {suffix[1:].upper()}: {reason}") from None


def _read_csv(path: Path, location: str) -> pa.Table:
    """Every column as text; divided by tabs, as GiantMIDI-Piano's is, where the first line holds any."""
    with gzip.open(path, "rb") if location.lower().endswith(".gz") else path.open("rb") as file:
        data = file.read().removeprefix(b"\xef\xbb\xbf")
    parse = pa_csv.ParseOptions(delimiter="\t" if b"\t" in data.partition(b"\n")[0] else ",", newlines_in_values=True)
    names = pa_csv.open_csv(io.BytesIO(data), parse_options=parse).schema.names
    if len(set(names)) < len(names):
        raise ValueError("a column is there twice")
    text = dict.fromkeys(names, pa.string())
    convert = pa_csv.ConvertOptions(column_types=text, strings_can_be_null=True, null_values=[""])
    return pa_csv.read_csv(io.BytesIO(data), parse_options=parse, convert_options=convert)


def _read_json(path: Path, location: str) -> pa.Table:
    """Rows as a list, one a line, or column by column with rows by their numbers, as MAESTRO's is."""
    with gzip.open(path, "rb") if location.lower().endswith(".gz") else path.open("rb") as file:
        data = file.read()
    if PurePosixPath(location.lower().removesuffix(".gz")).suffix == ".jsonl":
        return _of_rows([json.loads(line) for line in data.splitlines() if line.strip()])
    content = json.loads(data)
    if isinstance(content, list):
        return _of_rows(content)
    if not (isinstance(content, dict) and all(isinstance(column, dict) for column in content.values())):
        raise ValueError("neither a list of rows nor columns with numbered rows")
    return pa.table({name: list(column.values()) for name, column in content.items()})


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a row is no object")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})
