"""What happened in a run, for machines: one JSON object a line, under ``events/``.

Objects in a bucket cannot be appended to, so every driver writes objects of its own, and begins another one when
one is long.
"""

import json
import re
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
    """One driver's events. What it cannot write is no reason for a run to end: results do not depend on it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._part = 0
        self._lines: list[str] = []
        self._is_written = True
        self._last_write = time.monotonic()

    def add(self, event: str, **values: Any) -> None:
        """Note an event; it is written some time later."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines.append(json.dumps({"time": now, "event": event, **values}))
        self._is_written = False
        if len(self._lines) >= EVENTS_PER_OBJECT:
            self.write()
            self._part += 1
            self._lines.clear()

    def write_now_and_then(self) -> None:
        """Write what is new, if it is time to."""
        if time.monotonic() - self._last_write >= SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write what is new."""
        self._last_write = time.monotonic()
        if self._is_written:
            return
        key = f"{EVENTS_FOLDER}/{self._name}-{self._part:03d}.jsonl"
        try:
            self._storage.write(key, ("\n".join(self._lines) + "\n").encode())
        except StorageError:
            return  # Tried again with the next events.
        self._is_written = True
