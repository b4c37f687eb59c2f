"""Ctrl-C and SIGTERM: the first asks to stop, the second to stop at once."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType


class StopSignals:
    """Counts the signals that arrive within its ``with`` block, instead of dying of them."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.count = 0
        self._on_first = on_first
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._received)
        return self

    def stop_at_once(self) -> None:
        """As if a second signal had arrived."""
        self.count = max(self.count, 2)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            self._on_first()
