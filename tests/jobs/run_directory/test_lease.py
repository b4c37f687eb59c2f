"""One driver at a time on a run."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import jobs.run_directory.lease
from jobs.errors import JobError
from jobs.run_directory.lease import LEASE_KEY, Lease
from jobs.storage import open_storage


def quiet(text: str) -> None:
    """Nobody needs to hear of it."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.run_directory.lease, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(jobs.run_directory.lease, "STALE_SECONDS", 0.6)
    monkeypatch.setattr(jobs.run_directory.lease, "POLL_SECONDS", 0.02)


def test_a_second_driver_is_refused_while_the_first_one_lives(out: Path) -> None:
    storage = open_storage(str(out))
    first = Lease(storage)
    first.acquire(quiet)
    ended = threading.Event()

    def live() -> None:
        while not ended.wait(0.03):
            first.renew()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(JobError, match=f"another driver is at work on this run: process {os.getpid()}"):
            Lease(storage).acquire(quiet)
    finally:
        ended.set()
        thread.join()
    first.release()
    Lease(storage).acquire(quiet)


def test_of_drivers_that_start_at_once_one_gets_the_run(out: Path) -> None:
    storage = open_storage(str(out))
    created: list[bool] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        created.append(storage.create(LEASE_KEY, b"{}"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]


def test_a_driver_that_ends_while_it_is_watched_has_changed_the_run_so_the_second_does_not_go_on(out: Path) -> None:
    storage = open_storage(str(out))
    first = Lease(storage)
    first.acquire(quiet)
    threading.Timer(0.2, first.release).start()
    with pytest.raises(JobError, match=f"another driver has just ended .*process {os.getpid()} .*run the command"):
        Lease(storage).acquire(quiet)


def test_a_silent_drivers_claim_is_taken_over_and_it_notices_when_it_comes_back(out: Path) -> None:
    storage = open_storage(str(out))
    silent = Lease(storage)
    silent.acquire(quiet)
    messages: list[str] = []
    follower = Lease(storage)
    follower.acquire(messages.append)
    assert "watching" in messages[0] and "going on" in messages[1]
    silent._renewed = 0.0
    with pytest.raises(JobError, match="another driver has taken over"):
        silent.renew()
    silent.release()
    assert storage.exists(LEASE_KEY)
    follower.release()
    assert not storage.exists(LEASE_KEY)


def test_the_claim_of_a_process_that_died_here_is_taken_over_at_once(out: Path) -> None:
    storage = open_storage(str(out))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lease = Lease(storage)
    lease.acquire(quiet)
    content = json.loads(storage.read(LEASE_KEY))
    storage.write(LEASE_KEY, json.dumps({**content, "id": "another", "pid": dead.pid}).encode())
    messages: list[str] = []
    Lease(storage).acquire(messages.append)
    assert messages == []
