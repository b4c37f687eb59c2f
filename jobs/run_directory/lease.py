"""One driver at a time: who works on a run says so in the run's folder, again and again.

Markers alone already keep two drivers from mixing results; the lease keeps the second from rendering for nothing.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType

from jobs.errors import JobError, StorageError
from jobs.storage import Storage

LEASE_KEY = "_state/driver.json"
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Claim:
    """What a driver said last: who it is, when that was by its clock, and how many items of which shards are done."""

    id: str = ""
    host: str = ""
    pid: int = 0
    beat: int = 0
    time: str = ""
    shards: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_dead_here(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        if self.host != socket.gethostname() or not isinstance(self.pid, int):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def find_claim(storage: Storage) -> Claim | None:
    """The claim on a run; None if there is none."""
    if not storage.exists(LEASE_KEY):
        return None
    try:
        found = json.loads(storage.read(LEASE_KEY))
    except (ValueError, JobError):  # Gone in between, or not ours.
        return None
    if not isinstance(found, dict) or not found:
        return None
    known = {each.name for each in fields(Claim)}
    return Claim(**{name: value for name, value in found.items() if name in known})


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
        """Claim the run; JobError if another driver is at work on it, or if the storage cannot tell who is first."""
        if not self._storage.create(LEASE_KEY, self._content()):
            self._watch(say)
            self._storage.write(LEASE_KEY, self._content())
        if self._storage.create(LEASE_KEY, self._content()):
            self.release()
            raise JobError(
                f"{self._storage.uri}: this storage replaces objects although it is asked to create them only if there "
                "are none (If-None-Match: *), so workers and drivers could replace each other's results; "
                "use a server that knows this, or a local folder"
            )
        self._renewed = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew it."""
        return time.monotonic() - self._renewed >= HEARTBEAT_SECONDS

    def renew(self, shards: Mapping[int, float] = MappingProxyType({})) -> None:
        """Say that this driver is alive, and how far which shards are, if it is time to.

        JobError if another driver has taken over.
        """
        if not self.is_due:
            return
        now = time.monotonic()
        claim = find_claim(self._storage)
        if claim is not None and claim.id != self._id:
            raise JobError(f"{self._storage.uri}: another driver has taken over ({claim}); this one stops")
        self._storage.write(LEASE_KEY, self._content(shards))
        self._renewed = now

    def release(self) -> None:
        """Give the run free. A claim that cannot be deleted becomes stale."""
        with suppress(StorageError):
            claim = find_claim(self._storage)
            if claim is not None and claim.id == self._id:
                self._storage.delete(LEASE_KEY)

    def _watch(self, say: Callable[[str], None]) -> None:
        """Return once the holder is known to be dead; JobError if it lives, or has ended by itself."""
        seen = find_claim(self._storage)
        if seen is None or seen.is_dead_here:
            return
        say(f"{seen} claims this run: watching for up to {STALE_SECONDS:.0f} s whether it is alive")
        deadline = time.monotonic() + STALE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            claim = find_claim(self._storage)
            if claim is None:
                raise JobError(
                    f"{self._storage.uri}: another driver has just ended its work on this run ({seen}); "
                    "run the command again to do what it left"
                )
            if claim != seen:
                raise JobError(
                    f"{self._storage.uri}: another driver is at work on this run: {claim}; wait for it, or stop it"
                )
        say("it is not: going on in its place")

    def _content(self, shards: Mapping[int, float] = MappingProxyType({})) -> bytes:
        self._beats += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        items = {str(shard): round(done, 1) for shard, done in shards.items()}
        claim = Claim(self._id, socket.gethostname(), os.getpid(), self._beats, now, items)
        return (json.dumps(asdict(claim)) + "\n").encode()
