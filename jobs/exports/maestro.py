"""The layout of MAESTRO v3.0.0, which programs for transcription and performance modelling read."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from jobs.exports.card import CARD, Card
from jobs.exports.chosen import Chosen, ChosenShard, stem_of
from jobs.exports.export_folder import ExportFolder
from jobs.exports.item_files import ItemFiles, Row
from renderer.audio.audio_file import AudioFormat, audio_suffix

TABLE, TABLE_JSON = "maestro-v3.0.0.csv", "maestro-v3.0.0.json"
"""Called as MAESTRO's are: by these names programs find them."""

COLUMNS = ("canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename", "duration")


_NUMBERS: Mapping[str, Callable[[str], float]] = {"year": int, "duration": float}


class Maestro:
    """``maestro-v3.0.0.csv``, the same as JSON, and ``<year>/<item_id>`` with audio and MIDI side by side."""

    layout = (
        f"It lies as MAESTRO v3.0.0 does, but is not MAESTRO: `{TABLE}` and `{TABLE_JSON}` name for each item its "
        "audio and its MIDI file, with composer and title where the manifest has them, split, year and duration in "
        "seconds. Audio has the format of the run, which need not be WAV."
    )

    def __init__(self, chosen: Chosen, folder: ExportFolder) -> None:
        self._folder, self._stem = folder, stem_of(chosen.run)
        self._suffix = audio_suffix(cast(AudioFormat, chosen.run.settings.format))
        self._year = datetime.fromisoformat(chosen.run.created).year
        self._files = ItemFiles(chosen, folder, self._names)
        self._opened = ExitStack()
        self._table: csv.DictWriter[str] | None = None

    def place(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        self._files.place(shard)

    def list(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        if self._table is None:
            file = self._opened.enter_context(self._folder.open(TABLE))
            text = self._opened.enter_context(io.TextIOWrapper(file, "utf-8", newline="", write_through=True))
            self._table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            self._table.writeheader()
        for row, split in zip(shard.rows.drop_columns(["notes"]).to_pylist(), shard.splits, strict=True):
            audio, midi = self._names(row)
            composer = _first(row, "canonical_composer", "composer") or "unknown"
            title = _first(row, "canonical_title", "title") or row["item_id"]
            line = (composer, title, split, self._year_of(row), midi, audio, row["duration_s"])
            self._table.writerow(dict(zip(COLUMNS, line, strict=True)))

    def finish(self, card: Card) -> None:
        """See ``ExportFormat``."""
        self._opened.close()
        with self._folder.open(TABLE_JSON) as file:
            _write_columns(self._folder.path(TABLE), file)
        self._folder.write(CARD, card.text().encode())

    def _names(self, row: Row) -> tuple[str, str]:
        name = f"{self._year_of(row)}/{self._stem(str(row['item_id']))}"
        return f"{name}{self._suffix}", f"{name}.midi"

    def _year_of(self, row: Row) -> int:
        """The year in the manifest's column of that name, else that of the run."""
        year = str(row.get("year")).removesuffix(".0")
        return int(year) if year.isascii() and year.isdigit() and len(year) == 4 else self._year


def _first(row: Row, *names: str) -> str | None:
    return next((str(row[name]) for name in names if row.get(name)), None)


def _write_columns(table: Path, file: BinaryIO) -> None:
    """The table as JSON, column by column, as pandas writes it: one column's value in memory at a time."""
    for place, name in enumerate(COLUMNS):
        file.write(b"{" if place == 0 else b", ")
        file.write(f"{json.dumps(name)}: {{".encode())
        with table.open(encoding="utf-8", newline="") as rows:
            for number, row in enumerate(csv.DictReader(rows)):
                value = _NUMBERS[name](row[name]) if name in _NUMBERS else row[name]
                file.write(f'{", " if number else ""}"{number}": {json.dumps(value, ensure_ascii=False)}'.encode())
        file.write(b"}")
    file.write(b"}\n")
