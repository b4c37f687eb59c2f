"""Going on with a run: what failed is tried again, rows are appended, or it is replaced."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.run.beginning import find_beginning
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run.render import render_corpus
from jobs.run_directory.lease import LEASE_KEY, Claim
from jobs.storage import open_storage
from schemas.manifest import Manifest
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import render_run

IDS = ["a", "raises-1", "b", "unreadable-1", "c", "d"]


def run(manifest: Path, out: Path, **options: Any) -> int:
    chosen: dict[str, Any] = {"actors": 1, "device": "cpu", "shard_items": 2, **options}
    return render_corpus(RenderOptions(manifest=str(manifest), out=str(out), **chosen), DummyBackend())


def markers(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "_state/done").iterdir()}


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted((out / "events").iterdir()) for line in path.open()]


@pytest.mark.usefixtures("ray_session")
def test_failed_items_alone_are_rendered_again_and_no_marker_is_rewritten(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, IDS, tag=list(range(6)))
    assert run(manifest, out) == 3
    first, before = markers(out), {path: path.stat().st_mtime_ns for path in out.glob("audio/*")}
    make_corpus(tmp_path / "good", ["x"])
    (tmp_path / "midi/unreadable-1.mid").write_bytes((tmp_path / "good/midi/x.mid").read_bytes())

    assert run(manifest, out, retry_failed=True) == 3
    assert set(markers(out)) == {"00000.json", "00000.r1.json", "00001.json", "00001.r1.json", "00002.json"}
    assert first.items() <= markers(out).items()
    rows = results(out)
    assert [row["item_id"] for row in rows] == IDS and [row["tag"] for row in rows] == list(range(6))
    assert [row["item_id"] for row in rows if row["status"] == "failed"] == ["raises-1"]
    assert {path: path.stat().st_mtime_ns for path in out.glob("audio/*")}.items() >= before.items()
    named = {entry["key"] for entry in json.loads(markers(out)["00001.r1.json"])["objects"]}
    assert {"audio/b.flac", "audio/unreadable-1.flac"} <= named
    assert [event["generation"] for event in events(out) if event["event"] == "shard_finished"] == [0, 0, 0, 1, 1]

    assert run(manifest, out) == 3
    assert len(markers(out)) == 5
    assert run(manifest, out, retry_failed=True) == 3
    assert set(markers(out)) >= {"00000.r2.json"} and len(markers(out)) == 6


@pytest.mark.usefixtures("ray_session")
def test_a_manifest_that_grew_is_continued_and_one_that_changed_is_not(tmp_path: Path, out: Path) -> None:
    ids = ["a", "b", "c"]
    manifest = make_corpus(tmp_path, ids)
    assert run(manifest, out) == 0
    before = markers(out)
    make_corpus(tmp_path, [*ids, "d", "e", "f"], own=[1, 2, 3, 4, 5, 6])
    with pytest.raises(JobError, match=r"(?s)manifest_rows: 3 in the run, 6 now.*--extend"):
        run(manifest, out)
    assert run(manifest, out, extend=True) == 0
    assert json.loads((out / "run.json").read_text())["shards"] == [[0, 2], [2, 1], [3, 2], [5, 1]]
    assert [row["item_id"] for row in results(out)] == [*ids, "d", "e", "f"]
    assert before.items() <= markers(out).items()
    assert run(manifest, out) == 0

    whole = tmp_path / "whole"
    assert run(manifest, whole) == 0
    assert audio(whole) == audio(out)

    make_corpus(tmp_path, ["z", "b", "c", "d", "e", "f", "g"])
    with pytest.raises(JobError, match="the first 6 rows are not those of the run"):
        run(manifest, out, extend=True)


@pytest.mark.usefixtures("ray_session")
def test_a_corpus_that_was_moved_is_continued_where_it_is_now(tmp_path: Path, out: Path) -> None:
    ids = ["a", "b", "c", "d"]
    render_run(make_corpus(tmp_path / "before", ids), out, leave_out={1})
    moved = (tmp_path / "before").rename(tmp_path / "now") / "manifest.parquet"
    make_corpus(tmp_path / "before", ["x", "y", "z", "w"])
    assert run(moved, out) == 0
    assert [row["item_id"] for row in results(out)] == ids
    assert json.loads((out / "run.json").read_text())["manifest_path"] == str(moved)


def test_a_run_of_a_version_that_read_midi_by_other_rules_goes_on_with_a_warning(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    directory = render_run(manifest, out, leave_out={1})
    job = prepare(RenderOptions(manifest=str(manifest), out=str(out), device="cpu"), DummyBackend())
    assert find_beginning(job, directory).warnings == []
    values = json.loads((out / "run.json").read_text())
    del values["versions"]["MIDI reading"]
    (out / "run.json").write_text(json.dumps(values))
    (warning,) = find_beginning(job, directory).warnings
    assert "notes may be taken from MIDI files by other rules" in warning and "'1' in the run, '2' now" in warning


def test_of_two_drivers_that_change_a_run_at_once_the_second_stops(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a"]), out)
    before = directory.begun()
    directory.change(before, replace(before, manifest_path="/one"))
    with pytest.raises(JobError, match="another driver has just changed this run"):
        directory.change(before, replace(before, manifest_path="/two"))
    assert directory.begun().manifest_path == "/one"


@pytest.mark.usefixtures("ray_session")
def test_overwriting_deletes_the_run_and_nothing_else_and_only_after_a_yes(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    assert run(manifest, out) == 0
    (out / "notes.txt").write_text("mine")
    manifest = make_corpus(tmp_path / "other", ["c"])
    with pytest.raises(JobError, match=r"deletes \d+ objects .*2 in audio.*: add --yes"):
        run(manifest, out, overwrite=True)
    assert set(audio(out)) == {"audio/a.flac", "audio/b.flac", "midi/a.mid", "midi/b.mid"}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("jobs.run.beginning.confirmed", lambda question: False)
    with pytest.raises(JobError, match="nothing was deleted"):
        run(manifest, out, overwrite=True)
    assert run(manifest, out, overwrite=True, yes=True) == 0
    assert set(audio(out)) == {"audio/c.flac", "midi/c.mid"}
    assert [row["item_id"] for row in results(out)] == ["c"] and (out / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("ray_session")
def test_failures_everywhere_stop_a_run_that_can_go_on(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, [f"raises-{i}" for i in range(20)])
    assert run(manifest, out, max_failures=4) == 1
    output = capsys.readouterr().err
    assert "4 items failed, --max-failures is 4" in output
    assert re.search("[678] of 10 shards are not finished", output)  # What was under way is finished, or not.
    names = [event["event"] for event in events(out)]
    assert "halted" in names and names[-1] == "driver_ended"
    assert run(manifest, out) == 3
    assert len(results(out)) == 20
    assert not (out / LEASE_KEY).exists()


def test_a_run_that_another_driver_works_on_is_not_touched(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(out))
    claims = iter(range(100))
    monkeypatch.setattr("jobs.run_directory.lease.POLL_SECONDS", 0.0)
    monkeypatch.setattr(
        "jobs.run_directory.lease.find_claim",
        lambda storage: Claim(host="elsewhere", pid=7, beat=next(claims), id="other"),
    )
    storage.create(LEASE_KEY, b"{}")
    with pytest.raises(JobError, match="another driver is at work on this run: process 7 on elsewhere"):
        run(make_corpus(tmp_path, ["a"]), out)
    assert [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()] == [LEASE_KEY]


def test_rows_are_known_again_however_the_file_stores_them(tmp_path: Path) -> None:
    table = pa.table({"item_id": ["a", "b", "c"], "midi": ["x", "y", "z"], "prompt": ["p"] * 3, "seed": [1, None, 3]})
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    pq.write_table(table, one, row_group_size=1)
    other = table.set_column(2, "prompt", table["prompt"].dictionary_encode()).append_column("own", [[1.0] * 3])
    pq.write_table(pa.concat_tables([other, other.slice(0, 1)]), two)
    assert Manifest.open(one).rows_sha256(3) == Manifest.open(two).rows_sha256(3)
    assert Manifest.open(one).rows_sha256(2) != Manifest.open(one).rows_sha256(3)
