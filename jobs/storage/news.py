"""Tells a person that a storage does not answer."""

import threading
import time

from jobs.console import duration, say_above_bars
from renderer.patience import PassingFault

SECONDS_TO_TELL = 5.0
"""After so long without an answer it is said."""


class StorageNews:
    """Tells it once, and when the storage answers again. ``seconds`` is how long it is waited for."""

    def __init__(self, place: str, seconds: float) -> None:
        self._place, self._seconds = place, seconds
        self._since: float | None = None
        self._has_said = False
        self._one_at_a_time = threading.Lock()

    def failed(self, fault: PassingFault, error: Exception) -> None:
        """A request failed and will be sent again."""
        with self._one_at_a_time:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if self._has_said or now - self._since < SECONDS_TO_TELL:
                return
            self._has_said = True
        what = "asks for fewer requests" if fault == "throttled" else "does not answer"
        reason = " ".join(str(error).split())
        say_above_bars(f"{self._place} {what}: trying for up to {duration(self._seconds)} ({reason})")

    def answered(self) -> None:
        """A request was answered."""
        if self._since is None:
            return
        with self._one_at_a_time:
            since, has_said = self._since, self._has_said
            self._since, self._has_said = None, False
        if has_said and since is not None:
            say_above_bars(f"{self._place} answers again, after {duration(time.monotonic() - since)}")
