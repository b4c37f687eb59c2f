"""A storage that is away for a while: every command waits for it, says so, and can be interrupted meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.memory_s3 import MemoryS3, running_memory_s3
from tests.jobs.support.rendered import held, render_run

ROOT = Path(__file__).parents[3]
OUT = "s3://corpus/out"
IDS = [f"item-{i:02d}" for i in range(12)]
COMMAND = "from jobs.cli.commands import midi_valle; midi_valle()"
WAIT = 180.0
LONG_PATIENCE = 1200.0
SECONDS = 20.0
"""In so many a command ends that is interrupted: it does not wait for the storage, only for a machine that is busy."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryS3]:
    with running_memory_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "corpus", IDS)


def run(manifest: Path, seconds_per_item: float = 0.0, **changes: Any) -> int:
    options: dict[str, Any] = {"actors": 2, "device": "cpu", "shard_items": 2, **changes}
    return render_corpus(RenderOptions(manifest=str(manifest), out=OUT, **options), DummyBackend(seconds_per_item))


def put_finished_run(server: MemoryS3, manifest: Path, folder: Path) -> None:
    """A finished run, as it would be on the server."""
    render_run(manifest, folder, shard_items=2)
    for path in folder.rglob("*"):
        if path.is_file():
            server.objects[f"corpus/out/{path.relative_to(folder).as_posix()}"] = path.read_bytes()


def wait_until(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a command has said that was interrupted, which it must be in seconds."""
    since = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, printed = process.communicate(timeout=2 * WAIT)
    finally:
        process.kill()
    assert (process.returncode, time.monotonic() - since < SECONDS) == (130, True), printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("seconds", [20.0, 120.0])
def test_long_outages_at_many_moments_are_waited_for(
    server: MemoryS3,
    manifest: Path,
    tmp_path: Path,
    seconds: float,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.run.display.SECONDS_BETWEEN_LINES", 0.5)

    def count(folder: str) -> int:
        return sum(name.startswith(f"corpus/out/{folder}") for name in list(server.objects))

    def outages() -> None:
        for begins in (
            lambda: count("run.json") == 1,
            lambda: count("audio/") >= 3,
            lambda: count("_state/done/") >= 2,
            lambda: count("_state/done/") == 6,
        ):
            wait_until(begins, WAIT + seconds)
            server.go_down(seconds).join()

    server.go_down(seconds)
    disturbing = threading.Thread(target=outages, daemon=True)
    disturbing.start()
    # Who has bad luck finds the server away at each of its tries, from the first outage to the last.
    assert run(manifest, 0.3, storage_patience=LONG_PATIENCE) == 0
    disturbing.join()
    printed = capsys.readouterr().err
    assert f"{OUT} does not answer: trying for up to 20.0 min" in printed and f"{OUT} answers again, after" in printed
    assert "items, " in printed and ", the storage has not answered for " in printed
    render_run(manifest, tmp_path / "undisturbed", shard_items=2)
    assert held(OUT) == held(str(tmp_path / "undisturbed"))
    for begins, command in enumerate(("status", "verify", "report", "gc"), 2):
        server.outages.append((server.requests.total() + begins, seconds))
        ended = CliRunner().invoke(midi_valle_app(), [command, OUT])
        assert ended.exit_code == 0 and not server.outages, ended.output
    server.outages.append((server.requests.total() + 5, seconds))
    assert run(manifest) == 0 and not server.outages


def test_a_run_that_is_interrupted_while_its_storage_is_away_ends_in_seconds(server: MemoryS3, manifest: Path) -> None:
    arguments = (manifest, "--out", OUT, "--actors", 1, "--device", "cpu", "--shard-items", 2)
    process = started("-m", "tests.jobs.support.dummy_cli", *arguments, DUMMY_SECONDS_PER_ITEM="0.5")
    wait_until(lambda: any("_state/done" in name for name in list(server.objects)) or process.poll() is not None)
    server.down = True
    time.sleep(13.0)  # So long the driver may need to notice.
    printed = interrupted(process)
    assert "stopping at once: the storage does not answer" in printed
    assert "shards are not finished; the same command goes on" in printed
    server.down = False
    assert 1 <= len(list(RunDirectory(open_storage(OUT)).markers())) < 6


@pytest.mark.parametrize(
    ("words", "requests"),
    [(["status"], 2), (["status"], 4), (["verify", "--processes", "1"], 5), (["verify", "--quick"], 7)],
)
def test_a_look_at_a_run_that_is_interrupted_while_its_storage_is_away_ends_in_seconds(
    server: MemoryS3, manifest: Path, tmp_path: Path, words: list[str], requests: int
) -> None:
    put_finished_run(server, manifest, tmp_path / "finished")
    server.outages.append((requests, 600.0))  # As run.json, markers or objects are read.
    process = started("-c", COMMAND, *words, OUT)
    wait_until(lambda: server.unanswered >= 3 or process.poll() is not None)
    assert interrupted(process).endswith("interrupted\n")


def test_a_manifest_that_does_not_come_can_be_interrupted(server: MemoryS3) -> None:
    server.down = True
    process = started("-m", "tests.jobs.support.dummy_cli", "s3://corpus/manifest.parquet", "--out", OUT)
    wait_until(lambda: server.unanswered >= 2 or process.poll() is not None)
    assert interrupted(process).endswith("interrupted\n")
