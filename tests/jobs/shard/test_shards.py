"""One shard in this process, without Ray."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.errors import JobError, StorageError
from jobs.inputs.inputs import Inputs
from jobs.inspect.garbage import find_garbage
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.items import item_seed
from jobs.shard.orders import Orders
from jobs.shard.progress import ShardProgress
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from renderer.midi.midi_file import read_midi
from renderer.rendering import Rendering, RenderRequest
from schemas.marker import Marker
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import SAMPLE_RATE, DummyBackend, DummyRenderer
from tests.jobs.support.rendered import render_run


def work_for(manifest: Path, out: Path, backend: DummyBackend | None = None, **options: Any) -> ShardWork:
    backend = backend or DummyBackend()
    job = prepare(RenderOptions(manifest=str(manifest), actors=1, shard_items=99, **options), backend)
    return ShardWork(job.run, str(manifest), job.bank, LocalStorage(out), backend, job.inputs)


def render(work: ShardWork) -> Marker:
    return ShardRenderer(work).render(Task(work.run.shards[0]))


def test_audio_notes_metadata_and_marker_are_those_of_the_rows(tmp_path: Path, out: Path) -> None:
    ids = ["c", "a", "b"]
    manifest = make_corpus(tmp_path, ids, seed=[-1, None, 2**63 - 1], tags=[["x"], [], None])
    marker = render(work_for(manifest, out))
    rows = results(out)
    assert [row["item_id"] for row in rows] == ids
    assert [row["seed"] for row in rows] == [-1, item_seed(0, "a"), 2**63 - 1]
    assert [row["tags"] for row in rows] == [["x"], [], None]
    for row in rows:
        content, rate = soundfile.read(out / row["audio_path"])
        notes = read_midi(out / row["midi_path"], "ignore").notes
        assert row["status"] == "ok" and row["audio_path"] == f"audio/{row['item_id']}.flac"
        assert rate == row["sample_rate"] == SAMPLE_RATE
        assert len(content) == row["samples"] == round((row["notes"][-1]["offset"] + 1.0) * SAMPLE_RATE)
        assert len(notes) == len(row["notes"]) == row["note_count"] == 2
        assert row["peak"] == pytest.approx(abs(content).max(), abs=1e-4)
        assert row["rms_dbfs"] == pytest.approx(-10.8, abs=0.1) and row["clipped_samples"] == 0
        assert dict(row["note_report"])["drums"] == 0
        assert row["prompt_id"] == "plain" and row["model_id"] == "dummy" and row["render_seconds"] > 0
    assert marker.items == 3 and marker.failed == 0
    assert marker.audio_seconds == pytest.approx(sum(row["duration_s"] for row in rows))
    stored = json.loads((out / "_state/done/00000.json").read_text())
    for entry in [*stored["objects"], stored["metadata"]]:
        assert (out / entry["key"]).stat().st_size == entry["bytes"]
    assert len(stored["objects"]) == 6


def test_the_manifests_own_columns_come_back_as_they_were(tmp_path: Path, out: Path) -> None:
    columns = {
        "composer": pa.array(["x", None, "x"]).dictionary_encode(),
        "when": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
        "hands": pa.array([[{"left": 1}], [], None], pa.list_(pa.struct([("left", pa.int16())]))),
        "split": ["train", "test", None],
    }
    manifest = make_corpus(tmp_path, ["a", "unreadable-1", "c"], **columns)
    render(work_for(manifest, out))
    (metadata,) = (out / "metadata").iterdir()
    before, after = pq.read_table(manifest), pq.read_table(metadata)
    for name in (*columns, "midi", "prompt"):
        assert after.column(name).equals(before.column(name)) and after.field(name).type == before.field(name).type


def test_a_bad_item_is_a_failed_row_and_its_neighbours_are_rendered(tmp_path: Path, out: Path) -> None:
    ids = ["a", "raises-1", "b", "unreadable-1", "missing-1", "c", "broken-1", "d"]
    marker = render(work_for(make_corpus(tmp_path, ids), out))
    rows = {row["item_id"]: row for row in results(out)}
    assert list(rows) == ids
    assert [item_id for item_id, row in rows.items() if row["status"] == "ok"] == ["a", "b", "c", "d"]
    assert rows["raises-1"]["error_type"] == "RuntimeError"
    assert "cannot render raises-1" in rows["raises-1"]["error_message"]
    assert "unreadable-1.mid" in rows["unreadable-1"]["error_message"]
    assert "missing-1.mid" in rows["missing-1"]["error_message"]
    assert rows["broken-1"]["error_type"] == "AudioError"
    assert all(rows[bad]["audio_path"] is None and rows[bad]["notes"] is None for bad in ids if "-" in bad)
    assert {reason: failure.count for reason, failure in marker.failures.items()} == {
        "MidiError": 2,
        "RuntimeError": 1,
        "AudioError": 1,
    }
    assert set(audio(out)) == {f"audio/{i}.flac" for i in "abcd"} | {f"midi/{i}.mid" for i in "abcd"}


def test_an_item_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    together = tmp_path / "together"
    render(work_for(make_corpus(tmp_path / "x", ["a", "b", "c"]), together))
    apart = tmp_path / "apart"
    render(work_for(make_corpus(tmp_path / "y", ["a", "raises-1", "c"]), apart))
    assert audio(apart)["audio/a.flac"] == audio(together)["audio/a.flac"]
    assert audio(apart)["audio/c.flac"] == audio(together)["audio/c.flac"]


def test_an_item_that_names_a_file_outside_the_allowed_folders_fails_with_that_reason(
    tmp_path: Path, out: Path
) -> None:
    make_corpus(tmp_path / "elsewhere", ["b"])
    (tmp_path / "corpus" / "midi").mkdir(parents=True)
    (tmp_path / "corpus" / "midi" / "link.mid").symlink_to(tmp_path / "elsewhere" / "midi" / "b.mid")
    manifest = make_corpus(
        tmp_path / "corpus",
        ["a", "b", "c", "d"],
        midi=["midi/a.mid", "../elsewhere/midi/b.mid", "midi/link.mid", "/dev/zero"],
    )
    work = work_for(manifest, out)
    render(work)
    rows = results(out)
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "failed"]
    for row in rows[1:]:
        assert row["error_type"] == "InputError" and "lies outside the folders that may be read" in row["error_message"]
    allowed = tmp_path / "allowed"
    render(work_for(manifest, allowed, allow_root=[str(tmp_path / "elsewhere")]))
    assert [row["status"] for row in results(allowed)] == ["ok", "ok", "ok", "failed"]


def test_a_limited_run_holds_the_first_rows(tmp_path: Path, out: Path) -> None:
    render(work_for(make_corpus(tmp_path, ["a", "b", "c"]), out, limit=2))
    assert [row["item_id"] for row in results(out)] == ["a", "b"]


def test_excerpt_transposition_and_velocity_reach_the_notes(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"], start_s=[0.2], transpose=[-2], velocity_scale=[0.5])
    render(work_for(manifest, out))
    (row,) = results(out)
    assert [(note["pitch"], note["velocity"]) for note in row["notes"]] == [(62, 40)]
    assert row["notes"][0]["onset"] == pytest.approx(0.1, abs=1e-3)
    assert row["start_s"] == 0.2 and row["transpose"] == -2


def test_prompts_come_from_the_model_a_bank_or_the_row(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(
        tmp_path,
        ["a", "b", "c", "d"],
        prompt=["soft", "mine", None, None],
        prompt_audio=[None, None, "own.wav", "none.wav"],
        prompt_midi=[None, None, "midi/a.mid", "midi/a.mid"],
    )
    (tmp_path / "own.wav").touch()
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "x.wav").touch()
    bank = tmp_path / "bank" / "bank.parquet"
    pq.write_table(pa.table({"prompt_id": ["mine"], "audio": ["x.wav"], "midi": ["../midi/a.mid"]}), bank)
    render(work_for(manifest, out, prompts=str(bank)))
    rows = results(out)
    assert [row["prompt_id"] for row in rows] == ["soft", "mine", "own", None]
    assert rows[3]["error_type"] == "PromptError" and "none.wav" in rows[3]["error_message"]


@pytest.mark.parametrize("audio_format", ["flac", "flac24", "wav", "wav24", "wav-float", "ogg", "opus", "mp3"])
def test_every_format_is_written_and_says_its_samples(tmp_path: Path, out: Path, audio_format: str) -> None:
    render(work_for(make_corpus(tmp_path, ["a"]), out, format=audio_format))
    (row,) = results(out)
    content, _ = soundfile.read(io.BytesIO((out / row["audio_path"]).read_bytes()))
    assert len(content) == row["samples"]
    assert row["audio_path"] == f"audio/a.{audio_format.removesuffix('24').removesuffix('-float')}"


def test_storage_that_refuses_stops_the_shard_and_commits_nothing(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b", "c", "d"])
    work = work_for(manifest, out)

    class Full(LocalStorage):
        def create(self, key: str, data: bytes) -> bool:
            if key == "audio/b.flac":
                raise StorageError("no space left")
            return super().create(key, data)

    full = ShardWork(work.run, work.manifest, work.bank, Full(out), work.backend)
    with pytest.raises(StorageError):
        render(full)
    assert list(LocalStorage(out).keys("_state")) == [] and list(LocalStorage(out).keys("metadata")) == []


def test_a_second_attempt_does_not_replace_the_first_ones_result(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, ["a"]), out)
    first = render(work)
    assert render(work) == first
    assert len(results(out)) == 1


def test_progress_moves_within_a_long_item(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    work = work_for(manifest, out, DummyBackend(seconds_per_item=1.2))
    seen: list[ShardProgress] = []
    ShardRenderer(work, seen.append).render(Task(work.run.shards[0]))
    items = [progress.items for progress in seen]
    assert items == sorted(items)
    assert any(0 < number < 1 for number in items) and items[-1] <= 2


class OtherMachine(DummyBackend):
    """Rounds a little differently, as another kind of machine may."""

    def load(self, device: str) -> DummyRenderer:
        return Rounding(self.seconds_per_item)


class Rounding(DummyRenderer):
    def _rendering(self, request: RenderRequest) -> Rendering:
        rendering = super()._rendering(request)
        return replace(rendering, samples=rendering.samples * np.float32(0.999))


def test_a_late_attempt_of_another_machine_does_not_touch_what_is_finished(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    marker = render(work_for(manifest, out, save_codes=True))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    late = work_for(manifest, out, OtherMachine(), save_codes=True)
    assert render(late) == marker
    ShardRenderer(late).work(Orders((Task(late.run.shards[0], probe=(0, 1)),)))
    assert {path: path.read_bytes() for path in before} == before
    RunDirectory(LocalStorage(out)).start(late.run)
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


def test_what_a_killed_attempt_of_another_machine_left_is_not_taken_for_ours(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    killed = work_for(manifest, out, OtherMachine())
    ShardRenderer(killed).work(Orders((Task(killed.run.shards[0], probe=(0,)),)))
    left = audio(out)["audio/a.flac"]
    marker = render(work_for(manifest, out))
    rows = results(out)
    assert rows[0]["audio_path"] == f"audio/a.00000-{marker.attempt}.flac" and rows[1]["audio_path"] == "audio/b.flac"
    assert rows[0]["midi_path"] == "midi/a.mid"  # Notes are not rounded.
    assert audio(out)["audio/a.flac"] == left
    RunDirectory(LocalStorage(out)).start(killed.run)
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []
    assert [found.key for found in find_garbage(RunDirectory(LocalStorage(out)), 0.0).objects] == ["audio/a.flac"]


def test_rows_of_a_manifest_or_bank_that_changed_meanwhile_are_not_rendered(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    work = work_for(manifest, out)
    renderer = ShardRenderer(work)
    make_corpus(tmp_path, ["c", "d"])
    with pytest.raises(JobError, match=r"manifest.parquet was changed while the run was under way"):
        renderer.render(Task(work.run.shards[0]))
    with pytest.raises(JobError, match=r"manifest.parquet was changed while the run was under way"):
        ShardRenderer(work)
    assert not out.exists()

    (tmp_path / "x.wav").touch()
    bank = tmp_path / "bank.parquet"
    pq.write_table(pa.table({"prompt_id": ["mine"], "audio": ["x.wav"], "midi": ["midi/a.mid"]}), bank)
    work = work_for(manifest, out, prompts=str(bank))
    pq.write_table(pa.table({"prompt_id": ["mine"], "audio": ["x.wav"], "midi": ["midi/b.mid"]}), bank)
    with pytest.raises(JobError, match=r"bank.parquet was changed while the run was under way"):
        ShardRenderer(work)


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet", "none"])
def test_a_shard_of_which_every_item_failed_is_repaired_when_it_is_tried_again(
    tmp_path: Path, out: Path, layout: str
) -> None:
    manifest = make_corpus(tmp_path, ["unreadable-1", "unreadable-2"], tag=["x", "y"])
    (first,) = render_run(manifest, out, layout=layout).markers()
    make_corpus(tmp_path / "good", ["x"])
    for name in ("unreadable-1", "unreadable-2"):
        (tmp_path / f"midi/{name}.mid").write_bytes((tmp_path / "good/midi/x.mid").read_bytes())
    run = render_run(manifest, out, generation=1, layout=layout)
    (second,) = run.markers()
    rows = run.result_rows(second).to_pylist()
    assert (first.failed, second.failed) == (2, 0)
    assert [(row["item_id"], row["tag"], row["status"]) for row in rows] == [
        ("unreadable-1", "x", "ok"),
        ("unreadable-2", "y", "ok"),
    ]
    assert list(find_problems(run, Inputs())) == []
