"""How long a server that does not answer is waited for: one policy for every request that is sent to one."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

PassingFault = Literal["silent", "throttled"]
"""Why a request is sent again: nobody answered it, or the answer was to ask less often."""

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

    def pause(self, failures: int, fault: PassingFault) -> float:
        """How long to wait after so many failures in a row."""
        first = self.throttled_pause if fault == "throttled" else self.first_pause
        return random.uniform(0.0, min(self.longest_pause, first * 2.0 ** min(failures - 1, 30)))


class News(Protocol):
    """Who is notified how requests fare; by many threads at once."""

    def failed(self, fault: PassingFault, error: Exception) -> None:
        """A request failed and will be sent again."""
        ...

    def answered(self) -> None:
        """A request was answered."""
        ...


class Persistence:
    """Sends requests, and sends them again, on behalf of all threads that use a server.

    ``fault_of`` tells a fault that may pass from others, and ``asked`` for how long a server asks to be left alone.
    """

    def __init__(
        self,
        patience: Patience,
        fault_of: Callable[[Exception], PassingFault | None],
        news: News | None = None,
        asked: Callable[[Exception], float] = lambda error: 0.0,
    ) -> None:
        self._patience, self._fault_of, self._news, self._asked = patience, fault_of, news, asked

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
                pause = max(self._patience.pause(failures, fault), self._asked(error))
                if now + pause - since > self._patience.seconds:
                    error.add_note(f"given up after {now - since:.1f} s")
                    raise
                if self._news is not None:
                    self._news.failed(fault, error)
                time.sleep(pause)
            else:
                if self._news is not None:
                    self._news.answered()
                return result
