"""Reports of runs, and a corpus of tones with recordings behind its prompts."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.inputs.inputs import Inputs
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.inspect.run_report import RunReport, read_report
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from renderer.audio.audio_file import write_audio
from renderer.midi.midi_file import write_midi
from tests.jobs.support.played import SAMPLE_RATE, PlayedBackend
from tests.jobs.support.rendered import render_run
from tests.renderer.tones import melody, played


def totals_of(directory: RunDirectory) -> Totals:
    """The run's finished shards, added up."""
    totals = Totals()
    for marker in directory.markers():
        totals.add(marker)
    return totals


def report_of(directory: RunDirectory, model: str | None = None) -> RunReport:
    """What the report of a run shows."""
    prompts = PromptRecordings(directory.begun(), Inputs(), model)
    return read_report(directory, totals_of(directory), prompts)


def render_tones(folder: Path, ids: list[str], out: str, layout: str, seconds: float = 3.0) -> RunDirectory:
    """A run of tones: every other item with the prompt ``hall``, the others with ``booth``, in three splits."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, prompt in enumerate(("hall", "booth")):
        notes = melody(seed, 4.0)
        write_midi(notes, folder / f"{prompt}.mid")
        write_audio(folder / f"{prompt}.wav", played(notes, 4.0), SAMPLE_RATE, "wav")
    for seed in range(len(ids)):
        write_midi(melody(seed, seconds), folder / f"item-{seed}.mid")
    prompts = ["booth" if place % 2 else "hall" for place in range(len(ids))]
    columns = {
        "item_id": ids,
        "midi": [f"item-{place}.mid" for place in range(len(ids))],
        "prompt_audio": [f"{prompt}.wav" for prompt in prompts],
        "prompt_midi": [f"{prompt}.mid" for prompt in prompts],
        "split": ["train", "test", "validation"] * (len(ids) // 3) + ["train"] * (len(ids) % 3),
    }
    pq.write_table(pa.table(columns), folder / "manifest.parquet")
    return render_run(folder / "manifest.parquet", out, backend=PlayedBackend(), layout=layout, tail=0.2)
