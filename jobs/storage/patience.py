"""How long a storage that does not answer is waited for: one policy for every request that is sent to one."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from jobs.console import duration, say_above_bars

StorageFault = Literal["silent", "throttled"]
"""Why a request is sent again: nobody answered it, or the answer was to ask less often."""

SECONDS_TO_TELL = 5.0
"""After so long without an answer a person is told."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Patience:
    """A request that failed for no fault of ours is sent again for ``seconds`` in all, without news in between.

    Pauses are drawn from 0 to a limit that doubles with each failure, so that many who wait do not come back together
    (full jitter). All in seconds.
    """

    seconds: float = 300.0
    first_pause: float = 0.2
    throttled_pause: float = 1.0
    longest_pause: float = 10.0

    def pause(self, failures: int, fault: StorageFault) -> float:
        """How long to wait after so many failures in a row."""
        first = self.throttled_pause if fault == "throttled" else self.first_pause
        return random.uniform(0.0, min(self.longest_pause, first * 2.0 ** min(failures - 1, 30)))


class Persistence:
    """Sends requests, and sends them again, on behalf of all threads that use a storage."""

    def __init__(self, patience: Patience, place: str, fault_of: Callable[[Exception], StorageFault | None]) -> None:
        self._patience, self._fault_of = patience, fault_of
        self._news = _News(place, patience)

    def send(self, request: Callable[[], _Result], progress: Callable[[], int] = lambda: 0) -> _Result:
        """What ``request`` returns, if need be at a later try; its error if another try would not help, or at the end.

        Each request must be one that may be carried out twice. ``progress`` is how much of a long one is done: as long
        as that grows, patience begins anew.
        """
        failures, since, done = 0, time.monotonic(), progress()
        while True:
            try:
                result = request()
            except Exception as error:
                fault = self._fault_of(error)
                if fault is None:
                    raise
                now = time.monotonic()
                if progress() > done:
                    failures, since, done = 0, now, progress()
                failures += 1
                pause = self._patience.pause(failures, fault)
                if now + pause - since > self._patience.seconds:
                    error.add_note(f"given up after {duration(now - since)}")
                    raise
                self._news.failed(fault, error)
                time.sleep(pause)
            else:
                self._news.answered()
                return result


class _News:
    """Tells a person that a storage does not answer, once, and when it does again."""

    def __init__(self, place: str, patience: Patience) -> None:
        self._place, self._patience = place, patience
        self._since: float | None = None
        self._is_told = False
        self._one_at_a_time = threading.Lock()

    def failed(self, fault: StorageFault, error: Exception) -> None:
        with self._one_at_a_time:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if self._is_told or now - self._since < SECONDS_TO_TELL:
                return
            self._is_told = True
        what = "asks for fewer requests" if fault == "throttled" else "does not answer"
        reason = " ".join(str(error).split())
        say_above_bars(f"{self._place} {what}: trying for up to {duration(self._patience.seconds)} ({reason})")

    def answered(self) -> None:
        if self._since is None:
            return
        with self._one_at_a_time:
            since, is_told = self._since, self._is_told
            self._since, self._is_told = None, False
        if is_told and since is not None:
            say_above_bars(f"{self._place} answers again, after {duration(time.monotonic() - since)}")
