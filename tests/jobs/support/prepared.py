"""What corpora are made from: performances, pianos and recordings that are made up."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from jobs.corpora.prepare import planned
from jobs.corpora.prepare_options import PrepareOptions
from jobs.run import preflight
from jobs.run.beginning import find_beginning
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage import open_storage
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from tests.renderer.pianos.recordings import tone, write_recordings

RATE = 44_100


def performance(seconds: float, seed: int) -> Notes:
    """Five notes a second, each by itself."""
    random = np.random.default_rng(seed)
    onset = np.arange(0.1, seconds - 0.5, 0.2)
    pitch = random.integers(36, 90, len(onset))
    return Notes.of(onset, onset + 0.15, pitch, random.integers(40, 110, len(onset)))


def write_performances(folder: Path, pieces: int = 8, seconds: float = 25.0) -> Path:
    """A folder of MIDI files ``piece-0.mid`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pieces):
        write_midi(performance(seconds, number), folder / f"piece-{number}.mid")
    return folder


def write_recorded(folder: Path, pieces: int = 4, seconds: float = 25.0) -> Path:
    """A table of recordings of such performances, at 44.1 kHz in stereo, in two conditions."""
    write_performances(folder, pieces, seconds)
    for number in range(pieces):
        mix = np.zeros(round((seconds + 4) * RATE), np.float32)
        notes = performance(seconds, number)
        for onset, pitch in zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True):
            sound = tone(int(pitch), 0.1, 0.15, silence=0.0)
            start = round(onset * RATE)
            mix[start : start + len(sound)] += sound
        soundfile.write(folder / f"piece-{number}.wav", np.stack([mix, mix], axis=1), RATE)
    table: dict[str, Any] = {
        "midi": [f"piece-{number}.mid" for number in range(pieces)],
        "audio": [f"piece-{number}.wav" for number in range(pieces)],
        "condition": ["left" if number % 2 else "right" for number in range(pieces)],
    }
    pq.write_table(pa.table(table), folder / "recordings.parquet")
    return folder / "recordings.parquet"


def prepare_here(options: PrepareOptions, leave_out: Container[int] = ()) -> RunDirectory:
    """Prepare a corpus in this process, without Ray, but for the shards in ``leave_out`` and those that are done."""
    run, backend = planned(options)
    job = preflight.prepare(run, backend)
    directory = RunDirectory(open_storage(options.out, options.s3))
    find_beginning(job, directory).write(directory)
    done = {marker.shard for marker in directory.markers()}
    work = ShardWork(job.run, job.run.manifest_path, None, directory.storage, job.backend, job.inputs)
    renderer = ShardRenderer(work)
    for shard in job.run.shards:
        if shard.index not in done and shard.index not in leave_out:
            renderer.render(Task(shard))
    return directory


def prepare_options(tmp_path: Path, **changes: Any) -> PrepareOptions:
    """Two pianos in all rooms, and eight performances, written if they are not there."""
    folder = tmp_path / "midi"
    if not folder.is_dir():
        write_performances(folder)
        write_recordings(tmp_path / "grand", range(24, 109, 24))
        write_recordings(tmp_path / "upright", range(21, 109, 24))
    values: dict[str, Any] = {
        "sources": [str(folder)],
        "out": str(tmp_path / "corpus"),
        "piano": [f"grand={tmp_path / 'grand'}", f"upright={tmp_path / 'upright'}"],
        "room_variants": 1,
        "validation": 0.2,
        "test": 0.1,
        "shortest": 5.0,
        "longest": 12.0,
        "shard_items": 5,
        "actors": 1,
    }
    return PrepareOptions(**(values | changes))
