"""Small corpora on disk, and what a finished run holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes


def make_corpus(folder: Path, ids: Sequence[str], **columns: Any) -> Path:
    """A manifest with one short MIDI file for every id; item ``missing-...`` has none, ``unreadable-...`` is text."""
    (folder / "midi").mkdir(parents=True, exist_ok=True)
    for index, item_id in enumerate(ids):
        path = folder / "midi" / f"{item_id}.mid"
        if item_id.startswith("unreadable"):
            path.write_text("not MIDI")
        elif not item_id.startswith("missing"):
            write_midi(Notes.of([0.1, 0.3], [0.3, 0.5 + 0.1 * (index % 3)], [60, 64 + index % 12], [64, 80]), path)
    table = {"item_id": list(ids), "midi": [f"midi/{item_id}.mid" for item_id in ids], "prompt": ["plain"] * len(ids)}
    pq.write_table(pa.table(table | columns), folder / "manifest.parquet")
    return folder / "manifest.parquet"


def results(out: Path) -> list[dict[str, Any]]:
    """The result rows of a run, by its markers."""
    return [row for table in RunDirectory(LocalStorage(out)).results() for row in table.to_pylist()]


def audio(out: Path) -> dict[str, bytes]:
    """All audio and MIDI objects of a run, by name."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for folder in ("audio", "midi")
        for path in sorted((out / folder).glob("*"))
    }
