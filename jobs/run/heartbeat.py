"""What a driver tells the storage of itself, beside its loop: a storage that does not answer must not stop that."""

import threading
import time
from collections.abc import Callable, Mapping

from jobs.errors import JobError
from jobs.run_directory.events import EventLog
from jobs.run_directory.lease import Lease

SILENT_SECONDS = 5.0
PARTING_SECONDS = 3.0
"""So long the storage is waited for when all is done or dropped."""


def briefly(work: Callable[[], object]) -> None:
    """Do what a driver does last; if the storage does not answer, it is not waited for."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PARTING_SECONDS)


class Heartbeat:
    """Renews a driver's lease and writes its events, one beat at a time, in a thread of its own.

    At the end of its ``with`` block none is under way any more, but one that the storage does not answer.
    """

    def __init__(self, lease: Lease, events: EventLog) -> None:
        self._lease, self._events = lease, events
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._error: JobError | None = None

    def beat(self, shards: Mapping[int, float]) -> None:
        """Begin a beat, if it is time to and none is under way: returns at once.

        ``shards`` is how many items of which are done. JobError if the last beat found that another driver has taken
        over, or if the storage refuses.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._lease.is_due or self._events.is_due:
            self._began = time.monotonic()
            self._thread = threading.Thread(target=self._run, args=(dict(shards),), name="heartbeat", daemon=True)
            self._thread.start()

    @property
    def silent_seconds(self) -> float:
        """How long the storage has not answered; 0 as long as that may be chance."""
        is_under_way = self._thread is not None and self._thread.is_alive()
        waited = time.monotonic() - self._began if is_under_way else 0.0
        return waited if waited > SILENT_SECONDS else 0.0

    def __enter__(self) -> "Heartbeat":
        return self

    def __exit__(self, *error: object) -> None:
        # What is written or deleted after it should not be undone by a beat that is still under way; one that the
        # storage does not answer leaves at worst a claim that becomes stale.
        if self._thread is not None:
            self._thread.join(PARTING_SECONDS)

    def _run(self, shards: Mapping[int, float]) -> None:
        try:
            self._lease.renew(shards)
            self._events.write_now_and_then()
        except JobError as error:
            self._error = error
