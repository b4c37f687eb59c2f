"""A table of recordings that prompts are cut from: Parquet or CSV, with the columns of MAESTRO and ASAP, too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from schemas.checks import TEXT, Column, Problems, TableError, check_columns, open_parquet, read_column, readable, shown
from schemas.dataset_kinds import KINDS

_WITH_AUDIO = sorted((kind for kind in KINDS if kind.audio is not None), key=lambda kind: bool(kind.signs))
"""One's own table first, which has no signs."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "audio": tuple(str(kind.audio) for kind in _WITH_AUDIO),
    "midi": tuple(kind.midi for kind in _WITH_AUDIO),
    "licence": ("licence", "license"),
    "source": ("source",),
}
"""What each column may be called: as here, or as in the datasets that have recordings."""


class PromptRecordingsError(TableError):
    """A table of recordings that cannot be used; lists every problem with its column and first rows."""


@dataclass(frozen=True)
class PromptRecording:
    """A recording and, where there is one, its MIDI; the paths are relative to the table, or absolute."""

    audio: str
    midi: str | None = None
    licence: str | None = None
    source: str | None = None


def read_prompt_recordings(path: Path) -> list[PromptRecording]:
    """The rows of a table that name a recording; PromptRecordingsError lists all that is wrong with it."""
    batches = list(_csv(path) if path.suffix.lower() == ".csv" else _parquet(path))
    schema = batches[0].schema if batches else pa.schema([])
    columns = [Column(_found(field, schema), TEXT, required=field == "audio") for field in NAMES]
    problems = Problems()
    check_columns(schema, columns, problems)
    if problems:
        raise PromptRecordingsError(str(path), list(problems))
    rows: list[PromptRecording] = []
    number = 0
    for batch in batches:
        for values in zip(*(read_column(batch, column).to_pylist() for column in columns), strict=True):
            for column, value in zip(columns, values, strict=True):
                if value is not None and "\0" in value:
                    problems.row(column.name, "holds a NUL character", number, value)
            if values[0]:  # ASAP has performances without a recording.
                rows.append(PromptRecording(values[0], *(value or None for value in values[1:])))
            number += 1
    if problems or not rows:
        raise PromptRecordingsError(str(path), list(problems) or ["names no recording"])
    return rows


def _found(field: str, schema: pa.Schema) -> str:
    return next((name for name in NAMES[field] if name in schema.names), field)


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    file = open_parquet(path, PromptRecordingsError)
    known = {name for names in NAMES.values() for name in names}
    with readable(path, PromptRecordingsError):
        yield from file.read([name for name in file.schema_arrow.names if name in known]).to_batches()


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    """All columns as text, as they stand."""
    try:
        names = pa_csv.open_csv(path).schema.names
        if len(set(names)) < len(names):
            raise PromptRecordingsError(str(path), [f"has a column twice, of {', '.join(map(shown, names))}"])
        options = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=["", "nan", "NaN"]
        )
        yield from pa_csv.read_csv(
            path, parse_options=pa_csv.ParseOptions(newlines_in_values=True), convert_options=options
        ).to_batches()
    except FileNotFoundError:
        raise PromptRecordingsError(str(path), ["there is no such file"]) from None
    except (pa.ArrowException, OSError) as error:
        raise PromptRecordingsError(str(path), [f"cannot be read as CSV: {str(error).splitlines()[0]}"]) from None
