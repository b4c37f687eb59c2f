"""The manifest: a table with one row for every item to render, as a Parquet file.

A manifest is streamed: of a million rows only their ids are ever in memory together.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.checks import (
    INTEGER,
    NUMBER,
    TEXT,
    Column,
    Problems,
    TableError,
    check_columns,
    check_whole,
    open_parquet,
    read_column,
    readable,
)
from schemas.item_ids import file_stem, folded, why_unsafe, why_unsafe_path
from schemas.results import RESULT_SCHEMA

ITEM_ID = Column("item_id", TEXT, required=True)
MIDI = Column("midi", TEXT, required=True)
PROMPT = Column("prompt", TEXT)
PROMPT_AUDIO = Column("prompt_audio", TEXT)
PROMPT_MIDI = Column("prompt_midi", TEXT)
START = Column("start_s", NUMBER)
END = Column("end_s", NUMBER)
TEMPO = Column("tempo_scale", NUMBER)
COLUMNS = (
    ITEM_ID,
    MIDI,
    PROMPT,
    PROMPT_AUDIO,
    PROMPT_MIDI,
    Column("seed", INTEGER),
    START,
    END,
    Column("transpose", INTEGER),
    Column("velocity_scale", NUMBER),
    Column("split", TEXT),
    TEMPO,
)
"""The columns that we know, in the order of ManifestRow's fields."""

MAX_TRANSPOSE = 87
BATCH_ROWS = 16_384


class ManifestError(TableError):
    """A manifest that cannot be rendered; lists every problem with its column and first rows."""


class ManifestRow(NamedTuple):
    """One item: which MIDI file, with which prompt, and what part of it and how.

    Paths are relative to the manifest, or absolute. Either ``prompt`` is an id, or ``prompt_audio`` and
    ``prompt_midi`` name files.
    """

    item_id: str
    midi: str
    prompt: str | None = None
    prompt_audio: str | None = None
    prompt_midi: str | None = None
    seed: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    transpose: int | None = None
    velocity_scale: float | None = None
    split: str | None = None
    tempo_scale: float | None = None


@dataclass(frozen=True, eq=False)
class ManifestSlice:
    """Consecutive rows: typed, and as the table they are in the file (the same rows, with every column)."""

    rows: tuple[ManifestRow, ...]
    table: pa.Table


class Manifest:
    """An open manifest whose columns are right; :meth:`validate` checks the rows."""

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path = path
        self.schema: pa.Schema = file.schema_arrow
        self.row_count: int = file.metadata.num_rows
        self._file = file

    @classmethod
    def open(cls, path: Path) -> "Manifest":
        """Open a manifest; ManifestError if it is not a Parquet file, is empty, or its columns are wrong."""
        return cls.of(path, open_parquet(path, ManifestError))

    @classmethod
    def of(cls, path: Path, file: pq.ParquetFile) -> "Manifest":
        """A manifest that is open, and called ``path``; ManifestError if it is empty, or its columns are wrong."""
        problems = Problems()
        check_columns(file.schema_arrow, COLUMNS, problems)
        known = {column.name for column in COLUMNS}
        for name in file.schema_arrow.names:
            if name not in known and name in RESULT_SCHEMA.names:
                problems.column(name, "would clash with a column of the results; rename it")
        if problems:
            raise ManifestError(str(path), list(problems))
        if file.metadata.num_rows == 0:
            raise ManifestError(str(path), ["has no rows"])
        return cls(path, file)

    def validate(self, id_separator: str | None = None) -> None:
        """Check every row; ManifestError lists all that is wrong.

        A ``/`` in an id is wrong, unless ``id_separator`` says what stands for it in the names of files: a text, of
        which the ids must be unique too, or ``/`` itself.
        """
        problems = Problems()
        seen: dict[str, int] = {}
        for place, row in enumerate(self.rows()):
            _check_id(row.item_id, place, seen, problems, id_separator)
            for column, reason in _row_problems(row):
                problems.row(column, reason, place, getattr(row, column))
        self._check_integers(problems)
        if problems:
            raise ManifestError(str(self.path), list(problems))

    def _check_integers(self, problems: Problems) -> None:
        columns = [c for c in COLUMNS if c.type is INTEGER and c.name in self.schema.names]
        row = 0
        with readable(self.path, ManifestError):
            for batch in self._file.iter_batches(BATCH_ROWS, columns=[c.name for c in columns], use_threads=False):
                for column in columns:
                    check_whole(batch, column, row, problems)
                row += len(batch)

    def rows_sha256(self, count: int) -> str:
        """A hash of what the first rows say in the columns that we know, however the file stores them."""
        digest = hashlib.sha256()
        for row in islice(self.rows(), count):
            digest.update(repr(tuple(row)).encode())
        return digest.hexdigest()

    def rows(self) -> Iterator[ManifestRow]:
        """All rows, in order."""
        for batch in self.batches(*COLUMNS):
            yield from _typed(batch)

    def batches(self, *columns: Column) -> Iterator[pa.RecordBatch]:
        """The given columns of all rows, in order, some thousand rows at a time, as their plain types."""
        present = [column.name for column in columns if column.name in self.schema.names]
        with readable(self.path, ManifestError):
            for batch in self._file.iter_batches(BATCH_ROWS, columns=present, use_threads=False):
                arrays = [read_column(batch, column) for column in columns]
                yield pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])

    def numbers(self, name: str) -> "pa.ChunkedArray[Any] | None":
        """A column of numbers, of ours or of one's own, as float64; None if there is no such column."""
        index = self.schema.get_field_index(name)
        kind = None if index < 0 else self.schema.field(index).type
        if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return None
        with readable(self.path, ManifestError):
            return self._file.read([name], use_threads=False).column(0).cast(pa.float64())

    def slice(self, first_row: int, row_count: int) -> ManifestSlice:
        """``row_count`` rows from ``first_row`` (counted from 0) on; only their row groups are read."""
        groups, start = _row_groups(self._file.metadata, first_row, row_count)
        parts: list[pa.RecordBatch] = []
        with readable(self.path, ManifestError):
            for batch in self._file.iter_batches(BATCH_ROWS, row_groups=groups, use_threads=False):
                part = batch.slice(max(first_row - start, 0), max(first_row + row_count - max(start, first_row), 0))
                start += len(batch)
                if len(part):
                    parts.append(part)
                if start >= first_row + row_count:
                    break
        table = pa.Table.from_batches(parts, self.schema)
        return ManifestSlice(tuple(row for part in parts for row in _typed(part)), table)


def _typed(batch: pa.RecordBatch) -> Iterator[ManifestRow]:
    columns = [read_column(batch, column).to_pylist() for column in COLUMNS]
    return map(ManifestRow._make, zip(*columns, strict=True))


def _check_id(item_id: str | None, place: int, seen: dict[str, int], problems: Problems, separator: str | None) -> None:
    if item_id is None:
        problems.row(ITEM_ID.name, "is null", place, item_id)
        return
    stem = file_stem(item_id, separator)
    if reason := why_unsafe_path(stem) if separator == "/" else why_unsafe(stem):
        hint = "; --id-separator can stand for /" if separator is None and why_unsafe_path(item_id) is None else ""
        problems.row(ITEM_ID.name, f"cannot be a file name ({reason}{hint})", place, item_id)
    first = seen.setdefault(folded(stem), place)
    if first != place:
        problems.row(ITEM_ID.name, "is not unique (case is ignored)", place, item_id, f" as row {first}")


def _row_groups(metadata: pq.FileMetaData, first_row: int, row_count: int) -> tuple[list[int], int]:
    """The row groups that hold the rows, and the first row of the first of them."""
    groups: list[int] = []
    start = row = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if row < first_row + row_count and row + rows > first_row:
            start = start if groups else row
            groups.append(group)
        row += rows
    return groups, start


def _row_problems(row: ManifestRow) -> Iterator[tuple[str, str]]:
    """What is wrong with a row beside its id: column and reason."""
    if row.midi is None:
        yield "midi", "is null"
    for name in ("midi", "prompt", "prompt_audio", "prompt_midi"):
        text = getattr(row, name)
        if text is not None and (not text or "\0" in text):
            yield name, "holds a NUL character" if text else "is empty"
    if (row.prompt_audio is None) != (row.prompt_midi is None):
        yield (
            "prompt_midi" if row.prompt_midi is None else "prompt_audio",
            "is missing beside its counterpart",
        )
    elif row.prompt is None and row.prompt_audio is None:
        yield "prompt", "is missing: give a prompt, or prompt_audio and prompt_midi"
    if row.prompt is not None and (row.prompt_audio is not None or row.prompt_midi is not None):
        yield "prompt", "is given beside prompt_audio or prompt_midi"

    if row.start_s is not None and not 0.0 <= row.start_s < math.inf:
        yield "start_s", "is not 0 or more seconds"
    if row.end_s is not None and not (row.start_s or 0.0) < row.end_s < math.inf:
        yield "end_s", "is not after start_s"
    if row.transpose is not None and abs(row.transpose) > MAX_TRANSPOSE:
        yield "transpose", f"is beyond {MAX_TRANSPOSE} semitones"
    for name in ("velocity_scale", "tempo_scale"):
        scale = getattr(row, name)
        if scale is not None and not 0.0 < scale < math.inf:
            yield name, "is not a number above 0"
