"""Items that kill, hang or raise, workers that are killed, nodes that are lost: what is charged for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.shard.backend import Backend
from tests.jobs.run.test_resume import events, markers
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend, Registered


def run(manifest: Path, out: Path, backend: Backend | None = None, **options: Any) -> int:
    chosen: dict[str, Any] = {"actors": 2, "device": "cpu", **options}
    return render_corpus(RenderOptions(manifest=str(manifest), out=str(out), **chosen), backend or DummyBackend())


@pytest.mark.usefixtures("ray_session")
def test_poison_items_are_quarantined_with_their_reasons_and_neighbours_are_not_charged(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ["a", "kills-1", "b", "c", "sleeps-1", "d", "raises-1", "unreadable-1", "e"]
    assert run(make_corpus(tmp_path, ids), out, shard_items=3, item_timeout=5) == 3
    rows = {row["item_id"]: row for row in results(out)}
    assert list(rows) == ids
    assert {i: row["error_type"] for i, row in rows.items() if row["status"] == "failed"} == {
        "kills-1": "WorkerCrashed",
        "sleeps-1": "TimedOut",
        "raises-1": "RuntimeError",
        "unreadable-1": "MidiError",
    }
    assert "3 times, when it was rendered alone" in rows["kills-1"]["error_message"]
    assert "no progress for 5 s" in rows["sleeps-1"]["error_message"]
    assert sorted(markers(out)) == ["00000.json", "00001.json", "00002.json"]
    deaths = [event for event in events(out) if event["event"] == "actor_died"]
    assert {event["shard"] for event in deaths} == {0, 1}
    assert Counter(event["then"] for event in deaths)["quarantined"] == 2
    assert "WorkerCrashed: 1 (kills-1)" in capsys.readouterr().out


@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_dies_while_it_loads_is_given_up_after_three_tries(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = tmp_path / "tries"
    assert run(make_corpus(tmp_path, ["a"]), out, DummyBackend(dies_loading=str(tries)), actors=1) == 1
    assert len(tries.read_text()) == 3
    output = capsys.readouterr().err
    assert "worker 0 is given up: it died 3 times in a row" in output and "1 of 1 shards are not finished" in output


@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_is_killed_by_chance_charges_no_item_and_ray_does_not_speak_between(
    tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    backend = Registered(DummyBackend(seconds_per_item=0.1), str(pids))

    def kill() -> None:
        while not markers_exist(out):
            time.sleep(0.05)
        for path in pids.iterdir():
            os.kill(int(path.name), signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    ids = [f"item-{i:02d}" for i in range(24)]
    assert run(make_corpus(tmp_path, ids), out, backend, shard_items=3) == 0
    thread.join()
    assert [row["item_id"] for row in results(out)] == ids
    assert {event["then"] for event in events(out) if event["event"] == "actor_died" and "then" in event} <= {
        "tried again"
    }
    # Not counting the temporary file of a worker that was killed just then.
    assert len([name for name in markers(out) if not name.startswith(".tmp-")]) == 8
    output = capfd.readouterr()
    assert "its worker died" in output.err and "(raylet)" not in output.out + output.err


def markers_exist(out: Path) -> bool:
    return (out / "_state/done").is_dir() and any((out / "_state/done").iterdir())


def test_a_node_that_is_lost_costs_only_its_calls_in_flight(tmp_path: Path, out: Path) -> None:
    """In a process of its own: this one has a Ray already."""
    ids = [f"item-{i:02d}" for i in range(24)]
    manifest = make_corpus(tmp_path, ids)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.jobs.support.lost_node", manifest, out],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "a node is lost" in ended.stderr and "its worker died" in ended.stderr
    assert [row["item_id"] for row in results(out)] == ids
    assert {row["status"] for row in results(out)} == {"ok"} and len(markers(out)) == 12
