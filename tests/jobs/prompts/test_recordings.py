"""Which recordings are found, and which MIDI belongs to each."""

from pathlib import Path
from typing import Any

import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.recordings import Recording, find_recordings
from schemas.prompt_recordings import PromptRecordingsError


def find(*sources: Path, **options: Any) -> list[Recording]:
    chosen = MakeOptions(sources=[str(s) for s in sources], out=Path("bank.parquet"), **options)
    return find_recordings(chosen, Inputs())


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_midi_lies_beside_a_recording_or_likewise_in_another_folder(tmp_path: Path) -> None:
    a, m = tmp_path / "audio", tmp_path / "midi"
    touch(a / "b.WAV", a / "b.midi", a / "deep" / "no. 1.flac", a / "deep" / "no. 1.MID", a / ".hidden" / "c.wav")
    touch(a / "cover.jpg", m / "deep" / "no. 1.mid")
    assert [(r.name, r.audio, r.midi) for r in find(a)] == [
        ("b", str(a / "b.WAV"), str(a / "b.midi")),
        ("deep-no. 1", str(a / "deep" / "no. 1.flac"), str(a / "deep" / "no. 1.MID")),
    ]
    first, second = find(a, midi=m)
    assert (first.midi, first.lacks) == (None, f"there is no b.mid in {m}")
    assert (second.midi, second.lacks) == (str(m / "deep" / "no. 1.mid"), None)


def test_recordings_of_one_name_have_names_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav")
    assert [r.name for r in find(tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav")] == ["a", "a-2"]


def test_a_table_may_leave_out_recordings_and_name_any_place(tmp_path: Path) -> None:
    (tmp_path / "asap.csv").write_text("midi_performance,audio_performance\na.mid,\nb.mid,b.wav\n,s3://x/y/c.wav\n")
    found = find(tmp_path / "asap.csv", licence="L", source="S")
    assert found == [
        Recording("b", str(tmp_path / "b.wav"), str(tmp_path / "b.mid"), "L", "S"),
        Recording("x-y-c", "s3://x/y/c.wav", None, "L", "S"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as CSV|names no recording"),
        ("midi\na.mid\n", "'audio': is missing"),
        ("audio,audio\na,b\n", "has a column twice"),
        ("audio,midi\n,a.mid\n", "names no recording"),
        ("audio,midi\na.wav\n", "cannot be read as CSV"),
    ],
)
def test_tables_that_name_no_recordings_are_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(PromptRecordingsError, match=rf"t\.csv: .*({reason})"):
        find(tmp_path / "t.csv")
    (tmp_path / "t.parquet").write_text(content)
    with pytest.raises(PromptRecordingsError, match="cannot be read as Parquet"):
        find(tmp_path / "t.parquet")


def test_places_without_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match="empty holds no recordings"):
        find(tmp_path / "empty")
    with pytest.raises(JobError, match="neither a recording, a folder of them, nor a table"):
        find(tmp_path / "nowhere")
    with pytest.raises(JobError, match="recordings on S3 are named by a table"):
        find_recordings(MakeOptions(sources=["s3://bucket/x"], out=Path("b.parquet")), Inputs())
