"""Small MIDI files to build manifests of."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.manifests.build_manifest import build_manifest
from jobs.manifests.build_options import BuildOptions
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes


def melody(seed: int, seconds: float = 4.0, *, key: int = 60) -> Notes:
    """Two notes a second, whose velocities tell melodies of other seeds apart."""
    count = int(2 * seconds)
    onset = [0.5 * place for place in range(count)]
    return Notes.of(
        onset,
        [time + 0.4 for time in onset],
        [key + place % 5 for place in range(count)],
        [20 + (7 * seed + 3 * place) % 100 for place in range(count)],
    )


def add_midi(folder: Path, name: str, notes: Notes | None = None) -> Path:
    """A file with these notes, or, if there are none, with a melody that follows from its name."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(melody(sum(os.fsencode(name)) % 97) if notes is None else notes, path)
    return path


def build(out: Path, *sources: Path | str, **options: Any) -> list[dict[str, Any]]:
    """The rows of a manifest that is built of these sources."""
    if not {"prompts", "prompt_column"} & set(options):
        options.setdefault("prompt", ["plain"])
    build_manifest(BuildOptions(sources=[str(source) for source in sources], out=str(out), **options))
    return pq.read_table(out).to_pylist()


def files_of(out: Path) -> list[dict[str, Any]]:
    """The table of files beside a manifest."""
    return pq.read_table(out.with_suffix(".files.parquet")).to_pylist()


def values(rows: Sequence[dict[str, Any]], column: str) -> list[Any]:
    """A column of rows."""
    return [row[column] for row in rows]
