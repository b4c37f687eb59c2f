"""A driver's lease and events while the storage does not answer."""

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import jobs.run.heartbeat
import jobs.run_directory.events
import jobs.run_directory.lease
from jobs.errors import JobError, StorageError
from jobs.run.dispatcher import Dispatcher
from jobs.run.heartbeat import Heartbeat
from jobs.run.progress_watch import ProgressWatch
from jobs.run.workers import Call, Workers
from jobs.run_directory.events import EventLog
from jobs.run_directory.lease import LEASE_KEY, Lease, find_claim
from jobs.run_directory.totals import Totals
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from schemas.run import Shard


class SilentStorage(LocalStorage):
    """A folder that does not answer writes while ``silent``, and refuses them while ``refuses``."""

    answers = threading.Event()
    refuses = False

    def write(self, key: str, data: bytes) -> None:
        assert self.answers.wait(30)
        if self.refuses:
            raise StorageError("no")
        super().write(key, data)


@pytest.fixture
def storage(out: Path, monkeypatch: pytest.MonkeyPatch) -> SilentStorage:
    monkeypatch.setattr(jobs.run_directory.lease, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(jobs.run_directory.events, "SECONDS_BETWEEN_WRITES", 0.05)
    monkeypatch.setattr(jobs.run.heartbeat, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(SilentStorage, "answers", threading.Event())
    SilentStorage.answers.set()
    return SilentStorage(out)


def written(out: Path) -> list[int]:
    return [json.loads(line)["n"] for path in sorted((out / "events").glob("*")) for line in path.open()]


def test_a_silent_storage_does_not_stop_the_driver_and_the_claim_is_renewed_when_it_answers(
    storage: SilentStorage, out: Path
) -> None:
    lease, events = Lease(storage), EventLog(storage)
    lease.acquire(print)
    events.add("x", n=1)
    time.sleep(0.1)
    before = find_claim(storage)
    storage.answers.clear()
    with Heartbeat(lease, events) as heartbeat:
        since = time.monotonic()
        heartbeat.beat({3: 1.5})
        heartbeat.beat({3: 1.5})
        assert time.monotonic() - since < 5 and heartbeat.silent_seconds == 0
        time.sleep(0.2)
        assert heartbeat.silent_seconds > 0.1 and find_claim(storage) == before
        events.add("x", n=2)
        storage.answers.set()
    after = find_claim(storage)
    assert heartbeat.silent_seconds == 0 and after is not None and after != before and after.shards == {"3": 1.5}
    events.write()
    assert written(out) == [1, 2]
    lease.release()
    assert not storage.exists(LEASE_KEY)


def test_an_actor_that_waits_for_a_silent_storage_is_not_taken_for_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[str] = []
    monkeypatch.setattr("ray.get", lambda reading: ())
    monkeypatch.setattr("ray.kill", lambda actor, no_restart: killed.append(actor))
    heartbeat: Any = SimpleNamespace(silent_seconds=9.0)
    nothing: Any = None
    dispatcher, workers = Dispatcher([Task(Shard(0, 0, 1))]), Workers(nothing, nothing, 1)
    dispatcher.joined(0)
    ((_, orders),) = dispatcher.orders()
    workers.slots[0].actor = "actor"
    workers._calls["call"] = Call(workers.slots[0], orders)
    watch = ProgressWatch(dispatcher, workers, Totals(), nothing, heartbeat, 0.2)
    time.sleep(0.3)
    watch.read(None)
    heartbeat.silent_seconds = 0.0
    watch.read(None)
    assert killed == []  # It has the time anew from when the storage answers.
    time.sleep(0.3)
    watch.read(None)
    assert killed == ["actor"]


def test_a_driver_that_lost_its_run_is_reported_at_the_next_beat(storage: SilentStorage) -> None:
    lease = Lease(storage)
    lease.acquire(print)
    storage.write(LEASE_KEY, json.dumps({"id": "another", "host": "elsewhere", "pid": 7}).encode())
    time.sleep(0.1)
    with Heartbeat(lease, EventLog(storage)) as heartbeat:
        heartbeat.beat({})
    with pytest.raises(JobError, match="another driver has taken over"):
        heartbeat.beat({})


def test_events_that_could_not_be_written_are_written_later(
    storage: SilentStorage, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.run_directory.events, "EVENTS_PER_OBJECT", 4)
    monkeypatch.setattr(SilentStorage, "refuses", True)
    events = EventLog(storage)
    for number in range(10):
        events.add("x", n=number)
        events.write()
    assert not (out / "events").exists()
    monkeypatch.setattr(SilentStorage, "refuses", False)
    events.write()
    assert written(out) == list(range(10)) and len(list((out / "events").iterdir())) == 3
    assert not events.is_due
