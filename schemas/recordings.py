"""A table of recordings: a Parquet file that says which MIDI was played in which recording, and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from schemas.checks import (
    TEXT,
    Column,
    Problems,
    TableError,
    check_columns,
    open_parquet,
    read_column,
    readable,
)
from schemas.splits import Split

REQUIRED = ("midi", "audio", "condition")
COLUMNS = (
    *(Column(name, TEXT, required=True) for name in REQUIRED),
    Column("piece", TEXT),
    Column("split", TEXT),
)


class RecordingsError(TableError):
    """A table of recordings that cannot be used; lists every problem with its column and first rows."""


@dataclass(frozen=True)
class RecordedPerformance:
    """A recording and its MIDI; the paths are relative to the table, or absolute.

    What has one ``condition`` sounds alike. ``piece`` is what is played, by default the MIDI file's name: no piece
    is in two splits. ``split`` is given or, by default, drawn.
    """

    midi: str
    audio: str
    condition: str
    piece: str | None = None
    split: str | None = None


def read_recordings(path: Path) -> list[RecordedPerformance]:
    """The rows of a table of recordings; RecordingsError lists all that is wrong with it."""
    file = open_parquet(path, RecordingsError)
    problems = Problems()
    check_columns(file.schema_arrow, COLUMNS, problems)
    if problems:
        raise RecordingsError(str(path), list(problems))
    rows: list[RecordedPerformance] = []
    with readable(path, RecordingsError):
        for batch in file.iter_batches(columns=[c.name for c in COLUMNS if c.name in file.schema_arrow.names]):
            columns = [read_column(batch, column).to_pylist() for column in COLUMNS]
            for values in zip(*columns, strict=True):
                row = RecordedPerformance(*values)
                for name, reason in _row_problems(row):
                    problems.row(name, reason, len(rows), getattr(row, name))
                rows.append(row)
    if problems:
        raise RecordingsError(str(path), list(problems))
    if not rows:
        raise RecordingsError(str(path), ["has no rows"])
    return rows


def _row_problems(row: RecordedPerformance) -> Iterator[tuple[str, str]]:
    for name in REQUIRED:
        value = getattr(row, name)
        if value is None or not value or "\0" in value:
            yield name, "is null" if value is None else "holds a NUL character" if value else "is empty"
    if row.split is not None and row.split not in get_args(Split):
        yield "split", f"is none of {', '.join(get_args(Split))}"
