"""What happened in a run, for machines: one JSON object a line, under ``events/``.

Objects in a bucket cannot be appended to, so every driver writes objects of its own, and begins another one when
one is long.
"""

import json
import re
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from jobs.errors import StorageError
from jobs.storage import Storage

EVENTS_FOLDER = "events"
EVENTS_NAME = re.compile(rf"{EVENTS_FOLDER}/\d{{8}}T\d{{6}}-[0-9a-f]{{8}}-\d{{3,}}\.jsonl")
EVENTS_PER_OBJECT = 1000
SECONDS_BETWEEN_WRITES = 30.0


class EventLog:
    """One driver's events. What it cannot write is no reason for a run to end: results do not depend on it.

    One thread may add while another one writes.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._part = 0
        self._lines: list[str] = []
        self._unwritten: dict[str, list[str]] = {}
        self._one_at_a_time = threading.Lock()
        self._last_write = time.monotonic()

    def add(self, event: str, **values: Any) -> None:
        """Note an event; it is written some time later."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._one_at_a_time:
            self._lines.append(json.dumps({"time": now, "event": event, **values}))
            self._unwritten[f"{EVENTS_FOLDER}/{self._name}-{self._part:03d}.jsonl"] = self._lines
            if len(self._lines) == EVENTS_PER_OBJECT:
                self._part += 1
                self._lines = []

    @property
    def is_due(self) -> bool:
        """Whether it is time to write what is new."""
        return bool(self._unwritten) and time.monotonic() - self._last_write >= SECONDS_BETWEEN_WRITES

    def write_now_and_then(self) -> None:
        """Write what is new, if it is time to."""
        if self.is_due:
            self.write()

    def write(self) -> None:
        """Write what is new."""
        self._last_write = time.monotonic()
        with self._one_at_a_time:
            objects = {key: ("\n".join(lines) + "\n").encode() for key, lines in self._unwritten.items()}
            waiting, self._unwritten = self._unwritten, {}
        for key, content in objects.items():
            try:
                self._storage.write(key, content)
            except StorageError:  # Tried again with the next events.
                break
            del waiting[key]
        with self._one_at_a_time:
            self._unwritten = waiting | self._unwritten
