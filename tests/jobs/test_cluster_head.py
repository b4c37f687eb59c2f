"""Heads of clusters that are not there, or no heads at all."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.cluster_head
from jobs.cluster import local_ray
from jobs.cluster_head import HeadWatch, check_answers
from jobs.errors import JobError
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.s3_server import free_ports

ROOT = Path(__file__).parents[2]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes what comes, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_an_address_where_nobody_listens_is_reported_at_once(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    words = ["--out", tmp_path / "out", "--ray-address", address, "--actors", "1", "--device", "cpu"]
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.jobs.support.dummy_cli", str(make_corpus(tmp_path, ["a"])), *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1 and time.monotonic() - began < 60
    assert f"error: --ray-address {address}: nobody answers at {address} (Connection refused)" in ran.stderr
    assert "rpc_client" not in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "out/_state/driver.json").exists()


def test_what_is_no_head_is_reported_within_the_time(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.cluster_head, "ANSWER_SECONDS", 1.0)
    monkeypatch.setenv("RAY_ADDRESS", silent)
    began = time.monotonic()
    with pytest.raises(JobError, match=f"--ray-address auto: what answers at {silent} is no head of a Ray cluster"):
        check_answers("auto")
    assert time.monotonic() - began < 10


def test_what_ray_finds_by_itself_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in ("auto", "ray://127.0.0.1:1", "local"):
        check_answers(address)


def test_a_head_is_lost_when_it_has_not_answered_for_long(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.cluster_head, "SECONDS_BETWEEN_CALLS", 0.05)
    monkeypatch.setattr(jobs.cluster_head, "LOST_SECONDS", 0.5)
    gone = f"127.0.0.1:{free_ports(1)[0]}"
    with HeadWatch(silent) as there, HeadWatch(gone) as lost, HeadWatch() as none:
        time.sleep(1.0)
        assert there.fault == "" and none.fault == ""
        assert lost.fault.startswith(f"the cluster's head at {gone} has not answered for 1 s: it is lost")


def test_a_ray_of_our_own_that_does_not_start_on_a_busy_machine_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(**options: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", time_out)
    with pytest.raises(JobError, match="this machine is busy; try again"), local_ray(1, 1, 0):
        pass
