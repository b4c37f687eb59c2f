"""The README's promise, with the bundled model: a manifest in; audio, notes and metadata out, and again for nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import soundfile

from renderer.midi.midi_file import read_midi

EXAMPLES = Path(__file__).parents[1] / "examples"
COMMAND = "from jobs.cli.commands import render_corpus; render_corpus()"


def render_corpus(folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["manifest.parquet", "--out", "out", "--actors", "2", "--batch-size", "4", "--tail", "0.5"]
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, "--device", "cpu"],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "", "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds each of three examples: a built-in prompt, a user's own; no MIDI; a prompt that is no audio."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copytree(EXAMPLES / "midi", folder / "midi")
    prompts = EXAMPLES.parent / "renderer" / "weights" / "bundled" / "mini" / "prompts"
    shutil.copy(prompts / "splendid-chamber.wav", folder / "mine.wav")
    shutil.copy(prompts / "splendid-chamber.mid", folder / "mine.mid")
    (folder / "midi" / "broken.mid").write_bytes(b"MThd no more")
    table = pa.table(
        {
            "item_id": ["clair", "entertainer", "broken", "deaf"],
            "midi": [
                "midi/debussy-clair-de-lune.mid",
                "midi/joplin-the-entertainer.mid",
                "midi/broken.mid",
                "midi/bach-bwv-846.mid",
            ],
            "prompt": ["salamander-close", None, "salamander-close", None],
            "prompt_audio": [None, "mine.wav", None, "midi/broken.mid"],
            "prompt_midi": [None, "mine.mid", None, "mine.mid"],
            "start_s": [60.0, 10.0, None, None],
            "end_s": [63.0, 13.0, None, None],
            "composer": ["Debussy", "Joplin", None, "Bach"],
        }
    )
    pq.write_table(table, folder / "manifest.parquet")
    return folder


def test_a_manifest_becomes_audio_notes_and_metadata(corpus: Path) -> None:
    ran = render_corpus(corpus)
    assert ran.returncode == 3, ran.stderr
    assert "2 of 4 items rendered" in ran.stdout
    assert "MidiError: 1 (broken)" in ran.stdout and "AudioError: 1 (deaf)" in ran.stdout
    rows = {row["item_id"]: row for row in ds.dataset(corpus / "out/metadata").to_table().to_pylist()}
    assert set(rows) == {"clair", "entertainer", "broken", "deaf"}
    assert rows["broken"]["status"] == "failed" and "broken.mid" in rows["broken"]["error_message"]
    assert rows["entertainer"]["prompt_id"] == "mine" and rows["entertainer"]["composer"] == "Joplin"
    for item_id in ("clair", "entertainer"):
        row = rows[item_id]
        audio, rate = soundfile.read(corpus / "out" / row["audio_path"])
        last = max(note["offset"] for note in row["notes"])
        assert rate == 32_000 and len(audio) == row["samples"] == round((last + 0.5) * 32_000)
        assert 0.01 < abs(audio).max() <= row["peak"] + 1e-4
        notes = read_midi(corpus / "out" / row["midi_path"], "ignore").notes
        assert len(notes) == len(row["notes"]) == row["note_count"] > 5
        assert abs(notes.onset - [note["onset"] for note in row["notes"]]).max() < 0.0006


def test_running_it_again_renders_nothing(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (corpus / "out").rglob("*") if path.is_file()}
    ran = render_corpus(corpus)
    assert ran.returncode == 3 and "everything is rendered already" in ran.stderr
    assert {path: path.stat().st_mtime_ns for path in (corpus / "out").rglob("*") if path.is_file()} == before
