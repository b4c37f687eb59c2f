"""One driver at a time: who works on a run says so in the run's folder, again and again.

Markers alone already keep two drivers from mixing results; the lease keeps the second from rendering for nothing.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from jobs.errors import JobError, StorageError
from jobs.storage import Storage

LEASE_KEY = "_state/driver.json"
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
POLL_SECONDS = 1.0


class Lease:
    """A driver's claim on a run. It is stale if it does not change while another driver watches it.

    No two clocks are ever compared. If two drivers take over a stale claim at once, the later write holds and
    the other driver finds out when it renews.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._id = uuid.uuid4().hex
        self._renewed = 0.0
        self._beats = 0

    def acquire(self, say: Callable[[str], None]) -> None:
        """Claim the run; JobError if another driver is at work on it."""
        if not self._storage.create(LEASE_KEY, self._content()):
            self._watch(say)
            self._storage.write(LEASE_KEY, self._content())
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Say that this driver is alive, if it is time to; JobError if another one has taken over."""
        now = time.monotonic()
        if now - self._renewed < HEARTBEAT_SECONDS:
            return
        holder = self._holder()
        if holder.get("id", self._id) != self._id:
            raise JobError(f"{self._storage.uri}: another driver has taken over ({_named(holder)}); this one stops")
        self._storage.write(LEASE_KEY, self._content())
        self._renewed = now

    def release(self) -> None:
        """Give the run free. A claim that cannot be deleted becomes stale."""
        with suppress(StorageError):
            if self._holder().get("id") == self._id:
                self._storage.delete(LEASE_KEY)

    def _watch(self, say: Callable[[str], None]) -> None:
        """Return once the holder is known to be gone; JobError if it lives."""
        seen = self._holder()
        if not seen or _is_dead_here(seen):
            return
        say(f"{_named(seen)} claims this run: watching for up to {STALE_SECONDS:.0f} s whether it is alive")
        deadline = time.monotonic() + STALE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            holder = self._holder()
            if not holder:
                return
            if holder != seen:
                raise JobError(
                    f"{self._storage.uri}: another driver is at work on this run: {_named(holder)}; "
                    "wait for it, or stop it"
                )
        say("it is not: going on in its place")

    def _holder(self) -> dict[str, object]:
        """What the lease says; empty if there is none."""
        if not self._storage.exists(LEASE_KEY):
            return {}
        try:
            found = json.loads(self._storage.read(LEASE_KEY))
        except (ValueError, JobError):  # Gone in between, or not ours.
            return {}
        return found if isinstance(found, dict) else {}

    def _content(self) -> bytes:
        self._beats += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = {"id": self._id, "host": socket.gethostname(), "pid": os.getpid(), "beat": self._beats, "time": now}
        return (json.dumps(values) + "\n").encode()


def _is_dead_here(holder: dict[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _named(holder: dict[str, object]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')}"
