"""`render-corpus` as a process that is interrupted or killed in the middle, and then run again."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run.render import render_corpus
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import DummyBackend

ROOT = Path(__file__).parents[3]
IDS = [f"item-{i:02d}" for i in range(24)]
PATIENCE = 60.0


def start(manifest: Path, out: Path, seconds_per_item: float, actors: int) -> subprocess.Popen[str]:
    arguments = [manifest, "--out", out, "--actors", actors, "--shard-items", 2, "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.support.dummy_cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DUMMY_SECONDS_PER_ITEM": str(seconds_per_item), "HOME": str(out.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished_shards(out: Path) -> dict[str, int]:
    """The markers, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "_state/done").glob("*.json")}


def wait_for_more_shards(out: Path, process: subprocess.Popen[str]) -> dict[str, int]:
    before, deadline = len(finished_shards(out)), time.monotonic() + PATIENCE
    while len(finished_shards(out)) < before + 2:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return finished_shards(out)


def settled_shards(out: Path) -> dict[str, int]:
    """The markers, once the actors of a driver that was killed have ended: they finish the shard in hand."""
    shards, quiet_since = finished_shards(out), time.monotonic()
    while time.monotonic() < quiet_since + 4.0:
        time.sleep(0.1)
        if finished_shards(out) != shards:
            shards, quiet_since = finished_shards(out), time.monotonic()
    return shards


def undisturbed(manifest: Path, out: Path) -> dict[str, bytes]:
    """The audio of a run that nothing happens to, in this process."""
    options = RenderOptions(manifest=str(manifest), out=str(out), actors=1, shard_items=99, device="cpu")
    run = prepare(options, DummyBackend()).run
    work = ShardWork(run, str(manifest), None, LocalStorage(out), DummyBackend())
    ShardRenderer(work).render(Task(run.shards[0]))
    return audio(out)


@pytest.mark.usefixtures("ray_session")
def test_a_run_that_is_killed_and_interrupted_comes_out_like_an_undisturbed_one(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    process = start(manifest, out, seconds_per_item=0.1, actors=2)
    wait_for_more_shards(out, process)
    process.kill()
    process.communicate()
    after_kill = settled_shards(out)
    assert 2 <= len(after_kill) < 8

    process = start(manifest, out, seconds_per_item=0.3, actors=1)
    wait_for_more_shards(out, process)
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to the whole group.
    _, output = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "stopping: shards in flight are being finished" in output and "Traceback" not in output
    after_interrupt = finished_shards(out)
    assert after_kill.items() <= after_interrupt.items() and len(after_kill) < len(after_interrupt) < 12
    assert [row["status"] for row in results(out)] == ["ok"] * 2 * len(after_interrupt)

    options = RenderOptions(manifest=str(manifest), out=str(out), actors=2, shard_items=2, device="cpu")
    assert render_corpus(options, DummyBackend()) == 0
    assert [row["item_id"] for row in results(out)] == IDS
    assert after_interrupt.items() <= finished_shards(out).items()
    # Not counting the temporary files of workers that were killed as they wrote.
    written = {name: content for name, content in audio(out).items() if "/.tmp-" not in name}
    assert written == undisturbed(manifest, tmp_path / "undisturbed")


@pytest.mark.usefixtures("ray_session")
def test_a_second_signal_stops_within_seconds(tmp_path: Path, out: Path) -> None:
    # More items before the one that sleeps than a worker has in line, so that the first is committed.
    ids = [*"acdefg", "sleeps-1", "b"]
    manifest = make_corpus(tmp_path, ids, audio_seconds=[float(len(ids) - place) for place in range(len(ids))])
    before = signal.getsignal(signal.SIGTERM)
    times: list[float] = []

    def interrupt() -> None:
        while not (out / "_state/done/00000.json").exists():
            time.sleep(0.05)
        for _ in range(2):
            time.sleep(0.6)
            times.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    options = RenderOptions(manifest=str(manifest), out=str(out), actors=1, shard_items=1, device="cpu")
    assert render_corpus(options, DummyBackend()) == 130
    assert len(times) == 2 and time.monotonic() - times[1] < 5
    assert signal.getsignal(signal.SIGTERM) is before
    # Others are committed or not: they were under way beside the one that sleeps.
    committed = [row["item_id"] for row in results(out)]
    assert committed and committed == ids[: min(len(committed), ids.index("sleeps-1"))]
