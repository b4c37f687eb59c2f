"""A run that keeps codes, decoded: to the bytes of the run that would have kept audio."""

import base64
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from numpy.typing import NDArray

from jobs.codes.decode import decode_run
from jobs.codes.decode_options import DecodeOptions
from jobs.errors import JobError
from jobs.exports.export import export_run
from jobs.exports.export_options import ExportOptions
from jobs.inputs.inputs import Inputs
from jobs.inspect.clip import Clip
from jobs.inspect.garbage import find_garbage
from jobs.inspect.report_page import page
from jobs.inspect.verify import find_problems
from jobs.output.codes_archive import CodesWriter, stored_codes
from jobs.run.model_backend import ModelBackend
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from jobs.storage.local_storage import LocalStorage
from renderer.midi.notes import NoteReport, Notes
from renderer.rendering import Rendering
from renderer.segments import SegmentCodes
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.rendered import held, render_run
from tests.jobs.support.reported import report_of

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "midi"
MINI = ModelBackend("mini", None, None, "fp32", 4)
SETTINGS: dict[str, Any] = {"tail": 0.5, "precision": "fp32", "batch_size": 4, "peak": "-3", "sample_rate": 24000}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three items: one of two segments, a file that is no MIDI, one of one segment. Rendered as files and as codes."""
    folder = tmp_path_factory.mktemp("coded")
    (folder / "midi").mkdir()
    for name in ("joplin-the-entertainer", "bach-bwv-846"):
        shutil.copy(EXAMPLES / f"{name}.mid", folder / "midi")
    (folder / "midi" / "broken.mid").write_text("no MIDI")
    table = {
        "item_id": ["long", "broken", "short"],
        "midi": ["midi/joplin-the-entertainer.mid", "midi/broken.mid", "midi/bach-bwv-846.mid"],
        "prompt": ["splendid-chamber"] * 3,
        "end_s": [12.0, None, 2.0],
        "split": ["train", "train", "test"],
    }
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    for layout in ("files", "codes"):
        render_run(folder / "manifest.parquet", folder / layout, backend=MINI, layout=layout, **SETTINGS)
    return folder


def coded_directory(corpus: Path) -> RunDirectory:
    return RunDirectory(open_storage(str(corpus / "codes")))


def decode(corpus: Path, out: Path, **options: Any) -> int:
    code, totals, run = decode_run(DecodeOptions(run=str(corpus / "codes"), out=str(out), workers=1, **options))
    assert totals.items == run.items == 3 and totals.failed == 1
    return code


def rows(out: Path, leave_out: list[str]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in leave_out} for row in results(out)]


def test_a_decoded_run_has_the_bytes_and_the_rows_of_a_run_with_audio(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert decode(corpus, out) == 0
    assert held(str(out)) == held(str(corpus / "files")) and len(held(str(out))) == 4
    assert rows(out, ["render_seconds"]) == rows(corpus / "files", ["render_seconds"])
    assert next(row["segments"] for row in results(out)) == 2
    assert list(find_problems(RunDirectory(open_storage(str(out))), Inputs())) == []
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert decode(corpus, out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_codes_are_kept_in_place_of_audio(corpus: Path) -> None:
    run = corpus / "codes"
    assert {path.name for path in run.iterdir()} == {"run.json", "shards", "metadata", "_state"}
    assert list(find_problems(RunDirectory(open_storage(str(run))), Inputs())) == []
    places = ["audio_path", "audio_bytes", "audio_sha256", "midi_path", "codes_path", "render_seconds"]
    assert rows(run, places) == rows(corpus / "files", places)
    (long, broken, _) = results(run)
    assert broken["codes_path"] is None and long["audio_path"] is None


def samples(clip: Clip | str) -> NDArray[np.float32]:
    assert isinstance(clip, Clip), clip
    found, _ = soundfile.read(io.BytesIO(base64.b64decode(clip.audio.partition(",")[2])), dtype="float32")
    return np.asarray(found)


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether both are one sound: FLAC's rounding alone makes an MP3 another one by a few hundredths."""
    return len(one) == len(other) and float(np.corrcoef(one, other)[0, 1]) > 0.99


def test_a_report_lets_people_hear_the_codes_as_it_does_the_audio(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.inspect.item_sounds.DECODED_SECONDS", 14.0)
    coded, kept = (report_of(RunDirectory(open_storage(str(corpus / each)))) for each in ("codes", "files"))
    assert [item.row["item_id"] for item in coded.heard] == [item.row["item_id"] for item in kept.heard]
    assert len(coded.heard) == 2
    for item, same in zip(coded.heard, kept.heard, strict=True):
        assert alike(samples(item.clip), samples(same.clip))
    assert page(coded).count("data:audio/mpeg") == page(kept).count("data:audio/mpeg") >= 4

    monkeypatch.setattr("jobs.inspect.item_sounds.DECODED_SECONDS", 1.0)  # The first segment of two.
    short = next(item for item in report_of(coded_directory(corpus)).heard if item.row["item_id"] == "long")
    whole = next(item for item in kept.heard if item.row["item_id"] == "long")
    count = len(samples(short.clip))
    assert 24000 < count < len(samples(whole.clip))
    assert alike(samples(short.clip)[: count - 12000], samples(whole.clip)[: count - 12000])


def test_a_report_says_that_the_model_of_codes_is_not_at_hand(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.inspect.item_sounds.find_run_model", lambda *asked: None)
    for item in report_of(coded_directory(corpus)).heard:
        assert item.clip == "kept as codes of the model mini: say where that is with report --model"


def test_an_hour_of_codes_takes_two_kilobits_a_second(tmp_path: Path) -> None:
    random, ids = np.random.default_rng(0), [f"minute-{index}" for index in range(60)]
    writer = CodesWriter(LocalStorage(tmp_path), "shards/x.parquet")
    segments = {item_id: SegmentCodes(0, 0, 3000, random.integers(0, 1024, (3000, 4), np.uint16)) for item_id in ids}
    for item_id, codes in segments.items():
        sound = Rendering(item_id, np.zeros(9, np.float32), 8000, 0.0, Notes.none(), NoteReport(), 1, 0, "p")
        writer.write(replace(sound, segment_codes=[codes]))
    (stored,) = writer.finish(pa.table({"item_id": ids, "status": ["ok"] * 60}))
    assert 8 * stored.bytes < 2020 * 3600
    with (tmp_path / stored.key).open("rb") as file:
        for item_id, (read,) in stored_codes(file):
            np.testing.assert_array_equal(read.codes, segments[item_id].codes)
            assert read[:3] == segments[item_id][:3]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_archives_are_decoded_to_the_same_audio(corpus: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / "out"
    decode(corpus, out, layout=layout)
    assert list(find_problems(RunDirectory(open_storage(str(out))), Inputs())) == []
    hashes = [row["audio_sha256"] for row in results(corpus / "files")]
    assert [row["audio_sha256"] for row in results(out)] == hashes
    licences = {"midi_licence": "CC BY-SA 3.0 DE"}
    export_run(ExportOptions(run=str(out), out=tmp_path / "data", as_="huggingface", **licences))  # type: ignore[arg-type]
    assert {path.name for path in (tmp_path / "data/data").iterdir()} == {"train-00000.parquet", "test-00001.parquet"}


KILLED = """
import os, signal
from concurrent.futures import Future
from jobs.codes import decode
from jobs.cli.commands import midi_valle
add = decode.Totals.add

def deadly(self, marker):
    os.kill(os.getpid(), signal.SIGKILL)

decode.Totals.add = deadly
if __name__ == "__main__":
    midi_valle()
"""


@pytest.mark.slow
def test_a_killed_decode_is_gone_on_with(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["decode", str(corpus / "codes"), str(out), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = subprocess.run([sys.executable, script, *words], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    markers = list((out / "_state/done").glob("*.json"))
    assert markers
    before = {path: path.stat().st_mtime_ns for path in markers}
    assert decode(corpus, out) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert held(str(out)) == held(str(corpus / "files"))


def test_what_cannot_be_decoded_is_said(corpus: Path, tmp_path: Path) -> None:
    def refused(match: str, **options: Any) -> None:
        given = {"run": str(corpus / "codes"), "out": str(tmp_path / "out"), **options}
        with pytest.raises(JobError, match=match):
            decode_run(DecodeOptions(**given))

    refused("has the layout files; codes are in --layout codes", run=str(corpus / "files"))
    refused(
        "holds another run.*\n.*layout: 'files' in the run, 'parquet' now", out=str(corpus / "files"), layout="parquet"
    )
    refused("holds 'MThd' but no run.json", out=str(_foreign(tmp_path)))
    refused("--model mini is not the run's model", run=str(_of_another_model(corpus, tmp_path)), model="mini")
    refused("the model mini is not at hand: give --model DIR", run=str(tmp_path / "other"))
    refused("--layout is 'zip'; it must be one of files", layout="zip")
    refused("--id-separator does not go with --layout parquet", layout="parquet", id_separator="_")
    with pytest.raises(JobError, match="layout codes, which keeps no audio: make it with midi-valle decode first"):
        export_run(ExportOptions(run=str(corpus / "codes"), out=tmp_path / "data", as_="nemo"))
    with pytest.raises(JobError, match="--save-codes does not go with --layout codes, which keeps them by itself"):
        render_run(corpus / "manifest.parquet", tmp_path / "new", layout="codes", save_codes=True)


@pytest.mark.slow
def test_ids_that_a_layout_cannot_keep_are_refused_with_what_to_give(corpus: Path, tmp_path: Path) -> None:
    table = pq.read_table(corpus / "manifest.parquet").slice(2, 1)
    table = table.set_column(table.schema.get_field_index("item_id"), "item_id", [["a/b.c"]])
    pq.write_table(table.append_column("audio", [["mine"]]), corpus / "named.parquet")
    render_run(corpus / "named.parquet", tmp_path / "codes", backend=MINI, layout="codes", **SETTINGS)
    for layout, match in (
        ("files", "item id 'a/b.c' holds a /, which --layout files cannot keep: give --id-separator"),
        ("webdataset", "item id 'a/b.c' holds a ., which --layout webdataset cannot keep: give another --layout"),
        ("parquet", "the manifest's column 'audio' clashes with --layout parquet: give another --layout"),
    ):
        with pytest.raises(JobError, match=re.escape(match)):
            decode_run(DecodeOptions(run=str(tmp_path / "codes"), out=str(tmp_path / layout), layout=layout))  # type: ignore[arg-type]
    decode_run(DecodeOptions(run=str(tmp_path / "codes"), out=str(tmp_path / "out"), id_separator="_"))
    assert (tmp_path / "out/audio/a_b.c.flac").is_file()
    export_run(ExportOptions(run=str(tmp_path / "out"), out=tmp_path / "hub", as_="huggingface", midi_licence="CC0"))
    row = pq.read_table(tmp_path / "hub/data/test-00000.parquet").to_pylist()[0]
    assert row["manifest_audio"] == "mine" and row["audio"]["path"] == "a/b.c.flac"


def _foreign(folder: Path) -> Path:
    (folder / "foreign").mkdir()
    (folder / "foreign" / "MThd").touch()
    return folder / "foreign"


def _of_another_model(corpus: Path, folder: Path) -> Path:
    shutil.copytree(corpus / "codes", folder / "other")
    text = (folder / "other/run.json").read_text()
    hash_ = RunDirectory(open_storage(str(corpus / "codes"))).begun().model_hash
    (folder / "other/run.json").write_text(text.replace(hash_, "0" * 64))
    return folder / "other"


def test_lost_codes_are_found_and_unnamed_ones_are_garbage(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "codes", tmp_path / "run")
    directory = RunDirectory(open_storage(str(tmp_path / "run")))
    stray = tmp_path / "run/shards" / f"00000-{'0' * 32}.parquet"
    stray.write_bytes(b"left by a killed attempt")
    assert [found.key for found in find_garbage(directory, 0.0).objects] == [f"shards/{stray.name}"]
    stored = next(iter(next(directory.markers()).objects))
    (tmp_path / "run" / stored.key).unlink()
    assert list(find_problems(directory, Inputs())) == [f"{stored.key} is missing"]


def test_a_renderer_without_codes_fails_its_items_and_says_why(tmp_path: Path) -> None:
    render_run(make_corpus(tmp_path / "corpus", ["codeless-1"]), tmp_path / "run", layout="codes")
    (row,) = results(tmp_path / "run")
    assert row["status"] == "failed" and "this renderer gives none" in row["error_message"]
