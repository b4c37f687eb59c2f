"""Workers that share what is left, on real Ray: who takes over, who ends, and that the bytes are the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import held, render_run

IDS = [f"item-{i:02d}" for i in range(60)]


def events(out: Path, name: str) -> list[dict[str, Any]]:
    lines = [line for path in sorted((out / "events").iterdir()) for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["event"] == name]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("layout", ["webdataset", "files"])
def test_two_workers_share_one_shard_and_end_in_the_bytes_of_one(tmp_path: Path, out: Path, layout: Any) -> None:
    manifest = make_corpus(tmp_path, IDS)
    options = RenderOptions(manifest=str(manifest), out=str(out), actors=2, shard_items=60, device="cpu", layout=layout)
    assert render_corpus(options, DummyBackend(seconds_per_item=0.2)) == 0
    parts = events(out, "part_finished")
    assert {event["actor"] for event in parts} == {0, 1}
    (finished,) = events(out, "shard_finished")
    assert finished["parts"] == len(parts) and finished["items"] == 60
    assert sum(event["audio_seconds"] for event in parts) == pytest.approx(finished["audio_seconds"], abs=0.01)
    render_run(manifest, tmp_path / "alone", layout=layout, shard_items=60)
    assert held(str(out)) == held(str(tmp_path / "alone"))
    assert not list((out / "_state/parts").iterdir())
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


@pytest.mark.usefixtures("ray_session")
def test_a_worker_without_work_ends_while_another_is_busy(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b", "c", "d", "e"])
    options = RenderOptions(manifest=str(manifest), out=str(out), actors=2, shard_items=1, device="cpu")
    assert render_corpus(options, DummyBackend(seconds_per_item=0.5)) == 0
    first, last = events(out, "actor_ended")[0], events(out, "shard_finished")[-1]
    assert first["reason"] == "it has nothing to do" and first["time"] < last["time"]
    assert [row["status"] for row in results(out)] == ["ok"] * 5


@pytest.mark.slow
def test_a_node_that_is_drained_gets_nothing_new_and_dies_with_nothing(tmp_path: Path, out: Path) -> None:
    ids = [f"item-{i:02d}" for i in range(48)]
    manifest = make_corpus(tmp_path, ids)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.jobs.support.drained_node", manifest, out],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "its machine will be gone soon; it begins nothing new" in ended.stderr and "died" not in ended.stderr
    (drained,) = events(out, "actor_draining")
    before = events(out, "actor_ended")[0]
    assert before["actor"] == drained["actor"]
    after = [event for event in events(out, "shard_finished") if event["time"] > before["time"]]
    assert after and drained["actor"] not in {event["actor"] for event in after}
    assert [row["item_id"] for row in results(out)] == ids
    render_run(manifest, tmp_path / "alone", shard_items=8)
    assert held(str(out)) == held(str(tmp_path / "alone"))
