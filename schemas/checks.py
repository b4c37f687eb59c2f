"""Checking tables that people made: every problem is collected, with its column and first rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

SHOWN_ROWS = 5


def shown(value: object) -> str:
    """A value as it may be printed: quoted, control characters escaped, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


@dataclass(frozen=True)
class ColumnType:
    """What a column must hold: the type it is read as, and the stored types that become it without loss."""

    name: str
    arrow: pa.DataType
    accepts: Callable[[pa.DataType], bool]


def _is_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.DictionaryType):
        return _is_text(kind.value_type)
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def _is_integer(kind: pa.DataType) -> bool:
    return pt.is_integer(kind) and not pt.is_uint64(kind)


TEXT = ColumnType("string", pa.string(), _is_text)
INTEGER = ColumnType("int64", pa.int64(), lambda kind: _is_integer(kind) or pt.is_floating(kind))
"""Floating point as well, which pandas makes of integers with gaps; see :func:`check_whole`."""

NUMBER = ColumnType("double", pa.float64(), lambda kind: pt.is_floating(kind) or _is_integer(kind))


@dataclass(frozen=True)
class Column:
    """A column that we know: its name, its type, and whether every row must have it."""

    name: str
    type: ColumnType
    required: bool = False


@dataclass
class Problem:
    """One thing that is wrong with a column, and with how many of its rows."""

    column: str
    reason: str
    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.rows:
            return f"column {shown(self.column)}: {self.reason}"
        examples = "; ".join(self.examples) + ("; ..." if self.rows > len(self.examples) else "")
        return f"column {shown(self.column)}: {self.reason} in {self.rows:,} row(s): {examples}"


class TableError(Exception):
    """A table that cannot be used; the message lists every problem. Rows are counted from 0."""

    def __init__(self, source: str, problems: Sequence[Problem | str]) -> None:
        super().__init__(source, problems)
        self.problems = [str(problem) for problem in problems]

    def __str__(self) -> str:
        source = self.args[0]
        if len(self.problems) == 1:
            return f"{source}: {self.problems[0]}"
        return f"{source}: {len(self.problems)} problems\n" + "\n".join(f"  - {p}" for p in self.problems)


class Problems:
    """Collects problems; of each only the first rows are kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Problem] = {}

    def column(self, column: str, reason: str) -> None:
        """The column as such is wrong."""
        self._found.setdefault((column, reason), Problem(column, reason))

    def row(self, column: str, reason: str, row: int, value: object, note: str = "") -> None:
        """The column is wrong in this row."""
        problem = self._found.setdefault((column, reason), Problem(column, reason))
        problem.rows += 1
        if len(problem.examples) < SHOWN_ROWS:
            problem.examples.append(f"row {row} {shown(value)}{note}")

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found.values())

    def __bool__(self) -> bool:
        return bool(self._found)


def check_columns(schema: pa.Schema, columns: Sequence[Column], problems: Problems) -> None:
    """Required columns exist, known columns have a type that can be read, no name is there twice."""
    for name in sorted({name for name in schema.names if schema.names.count(name) > 1}):
        problems.column(name, "is there more than once")
    for column in columns:
        if column.name not in schema.names:
            if column.required:
                problems.column(column.name, f"is missing (columns found: {', '.join(map(shown, schema.names))})")
            continue
        kind = schema.field(schema.names.index(column.name)).type
        if not (column.type.accepts(kind) or (pt.is_null(kind) and not column.required)):
            problems.column(column.name, f"has type {kind}, must be {column.type.name}")


def check_whole(batch: pa.RecordBatch, column: Column, first_row: int, problems: Problems) -> None:
    """Every value of an integer column that is stored as floating point is a whole number, and exact."""
    if column.name not in batch.schema.names or not pt.is_floating(batch.column(column.name).type):
        return
    stored = batch.column(column.name)
    wrong = pc.and_(pc.and_(stored.is_valid(), pc.invert(pc.is_nan(stored))), pc.invert(_is_whole(stored)))
    for place in pc.indices_nonzero(wrong).to_pylist():
        value = stored[place].as_py()
        reason = (
            "is so large that floating point no longer holds every integer (with pandas: .astype('Int64'))"
            if value.is_integer()
            else "is not a whole number"
        )
        problems.row(column.name, reason, first_row + place, value)


def _is_whole(stored: "pa.Array[Any]") -> "pa.Array[Any]":
    limit = 2.0 ** {16: 11, 32: 24, 64: 53}[stored.type.bit_width]
    values = stored.cast(pa.float64())
    return pc.and_(pc.equal(values, pc.floor(values)), pc.less_equal(pc.abs(values), limit))


def read_column(batch: pa.RecordBatch, column: Column) -> "pa.Array[Any]":
    """The column as its plain type; all null where the table does not have it.

    Floating point of an integer column is null where it is no number (the gaps of pandas) or, which
    :func:`check_whole` tells, no integer.
    """
    if column.name not in batch.schema.names:
        return pa.array([None] * len(batch), column.type.arrow)
    stored = batch.column(column.name)
    if column.type is INTEGER and pt.is_floating(stored.type):
        stored = pc.if_else(_is_whole(stored), stored.cast(pa.float64()), pa.scalar(None, pa.float64()))
    return stored.cast(column.type.arrow)


@contextmanager
def readable(path: Path, kind: type[TableError]) -> Iterator[None]:
    """Turn what can go wrong while a Parquet file is read into an error that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise kind(str(path), ["there is no such file"]) from None
    except PermissionError:
        raise kind(str(path), ["no permission to read it"]) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise kind(str(path), [f"cannot be read as Parquet (truncated, or another format?): {reason}"]) from None


def open_parquet(path: Path, kind: type[TableError]) -> pq.ParquetFile:
    """Open a Parquet file to be streamed; ``kind`` says why it cannot be."""
    if path.is_dir():
        raise kind(str(path), ["is a folder; give one Parquet file"])
    with readable(path, kind):
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
