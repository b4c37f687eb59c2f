"""Whole runs on a Ray that is started once, with a renderer that needs no model."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.garbage import find_garbage
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from schemas.manifest import ManifestError
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import held
from tests.jobs.support.small_disk import SmallDisk

pytestmark = pytest.mark.usefixtures("ray_session")

IDS = [f"item-{i:02d}" for i in range(12)]


def run(manifest: Path, out: Path, backend: DummyBackend | None = None, **options: Any) -> int:
    chosen: dict[str, Any] = {"actors": 1, "device": "cpu", **options}
    return render_corpus(RenderOptions(manifest=str(manifest), out=str(out), **chosen), backend or DummyBackend())


def modified(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_a_run_is_whole_and_another_number_of_actors_and_shards_changes_no_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, IDS)
    one, three = tmp_path / "one", tmp_path / "three"
    assert run(manifest, one, shard_items=5) == 0
    assert f"12 of 12 items rendered, 19.2 s of audio: {one}/audio" in capsys.readouterr().out
    assert [row["item_id"] for row in results(one)] == IDS
    assert [row["shard"] for row in results(one)] == [0] * 5 + [1] * 5 + [2] * 2
    assert json.loads((one / "run.json").read_text())["shards"] == [[0, 5], [5, 5], [10, 2]]
    assert run(manifest, three, actors=3, shard_items=1) == 0
    assert audio(one) == audio(three)
    assert len(audio(one)) == 24


def test_failed_items_end_in_code_3_and_the_same_command_again_renders_nothing(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, ["a", "raises-1", "unreadable-1", "missing-1", "b"])
    assert run(manifest, out) == 3
    output = capsys.readouterr().out
    assert "2 of 5 items rendered" in output and "3 items failed:" in output
    assert "  MidiError: 2 (unreadable-1, missing-1)" in output and "  RuntimeError: 1 (raises-1)" in output
    assert [row["status"] for row in results(out)] == ["ok", "failed", "failed", "failed", "ok"]

    before = modified(out)
    monkeypatch.setattr("jobs.run.render.connected_ray", None)  # Calling it would raise.
    assert run(manifest, out, actors=2) == 3
    assert modified(out) == before
    again = capsys.readouterr()
    assert "everything is rendered already" in again.err and again.out == output


def test_a_model_that_cannot_be_loaded_is_reported_without_a_traceback(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(make_corpus(tmp_path, IDS), out, DummyBackend(fails_to_load="weights are torn")) == 1
    output = capsys.readouterr().err
    assert "it cannot load the model: weights are torn" in output and "Traceback" not in output


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_a_full_disk_stops_the_run_and_loses_nothing(
    tmp_path: Path, small_disk: SmallDisk, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, IDS)
    out = small_disk.folder / "out"
    # Shards of one item, so that the first is committed before what is begun beside it fills the disk.
    assert run(manifest, out, shard_items=1, layout=layout) == 1
    assert "no space left on device (make space)" in capsys.readouterr().err
    finished, before = results(out), held(str(out))
    assert 0 < len(finished) < len(IDS) and before
    small_disk.enlarge()
    assert run(manifest, out, shard_items=1, layout=layout) == 0
    assert [row["item_id"] for row in results(out)] == IDS
    assert before.items() <= held(str(out)).items()
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


def test_each_gpu_has_an_actor_and_gpus_that_do_not_exist_are_an_error(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, IDS)
    with pytest.raises(JobError, match="--gpus 3: Ray sees 2 GPUs"):
        run(manifest, out, device="auto", gpus=3)
    assert not (out / "run.json").exists()
    assert run(manifest, out, device="auto", gpus=2) == 0
    assert "with 2 actors on cuda" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["settings"]["device"] == "cuda"


def test_a_dry_run_tells_how_much_it_is_and_writes_nothing(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_corpus(tmp_path, [*IDS, "unreadable-1"])
    assert run(manifest, out, DummyBackend(seconds_per_item=0.02), dry_run=True, actors=2) == 0
    output = capsys.readouterr().out
    assert "items: 13 in 2 shards, of which 0 items are done" in output
    assert "unreadable: 1 of 13 rows read" in output and "unreadable-1: " in output
    assert "audio-seconds per second with one actor" in output and "audio: 19.2 s" in output
    assert "with 2 actors on cpu" in output
    sizes = dict(re.findall(r"\b(flac|wav|wav24|opus) ([\d.]+) kB", output))
    # 19.2 s at 8 kHz, and 460 bytes a row: noise cannot be made smaller without loss.
    assert float(sizes["wav"]) == pytest.approx(19.2 * 16 + 13 * 0.46, rel=0.1)
    assert float(sizes["wav24"]) == pytest.approx(19.2 * 24 + 13 * 0.46, rel=0.1)
    assert float(sizes["opus"]) < 0.7 * float(sizes["flac"]) < float(sizes["wav24"])
    assert f"storage: about {sizes['flac']} kB as flac; " in output
    assert "memory: " in output and "GPU hours" not in output
    assert not out.exists()


def test_options_lie_beside_the_run_and_render_it_again(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, IDS[:3])
    assert run(manifest, out, tail=0.25, seed=7) == 0
    entries = tomllib.loads((out / "_state" / "options.toml").read_text("utf-8"))
    again = RenderOptions(**entries | {"out": str(tmp_path / "again")})
    assert render_corpus(again, DummyBackend()) == 0
    assert audio(tmp_path / "again") == audio(out)
    assert list(find_garbage(RunDirectory(LocalStorage(out)), 0.0).objects) == []


def test_a_manifest_as_text_in_a_folder_renders_what_the_same_parquet_file_renders(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path / "rows", IDS[:4], seed=[1.0, None, 3.0, None])
    lines = [f"{item},midi/{item}.mid,plain,{seed}" for item, seed in zip(IDS[:4], ("1.0", "", "3.0", ""), strict=True)]
    assert run(manifest, tmp_path / "parquet") == 0
    manifest.unlink()
    for part in range(2):
        rows = lines[2 * part : 2 * part + 2]
        (manifest.parent / f"{part}.csv").write_text("\n".join(["item_id,midi,prompt,seed", *rows]))
    assert run(manifest.parent, tmp_path / "csv", shard_items=3) == 0
    assert audio(tmp_path / "csv") == audio(tmp_path / "parquet") and len(audio(tmp_path / "csv")) == 8
    assert list(find_problems(RunDirectory(LocalStorage(tmp_path / "csv")), Inputs(), False)) == []


def test_ids_with_slashes_are_files_of_other_names_or_members_of_archives(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"])
    table = pq.read_table(manifest).drop_columns("item_id").append_column("item_id", [["chopin/1", "liszt/1"]])
    pq.write_table(table, manifest)
    with pytest.raises(ManifestError, match="--id-separator can stand for /"):
        run(manifest, tmp_path / "refused")
    assert run(manifest, tmp_path / "files", id_separator="--") == 0
    assert sorted(audio(tmp_path / "files")) == [
        f"{kind}/{name}--1{suffix}"
        for kind, suffix in (("audio", ".flac"), ("midi", ".mid"))
        for name in ("chopin", "liszt")
    ]
    for layout in ("files", "webdataset", "parquet", "none"):
        options: dict[str, Any] = {"id_separator": "--"} if layout == "files" else {"layout": layout}
        assert run(manifest, tmp_path / layout, **options) == 0
        assert [row["item_id"] for row in results(tmp_path / layout)] == ["chopin/1", "liszt/1"]
        assert list(find_problems(RunDirectory(LocalStorage(tmp_path / layout)), Inputs())) == []
    paths = [row["audio_path"].partition("#")[2] for row in results(tmp_path / "webdataset")]
    assert paths == ["chopin/1.flac", "liszt/1.flac"]
    refused: list[dict[str, Any]] = [{"id_separator": "/"}, {"id_separator": ":"}]
    for wrong in [*refused, {"id_separator": "_", "layout": "parquet"}]:
        with pytest.raises(JobError, match="--id-separator"):
            run(manifest, tmp_path / "wrong", **wrong)
