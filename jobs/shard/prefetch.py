"""The next items are read while the renderer is at work: from S3 that takes longer than rendering does on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from renderer.midi.notes import Performance
from schemas.manifest import ManifestRow

ITEMS_AHEAD = 3


class Prefetch:
    """Each row, in order, with what was read for it; a thread reads the next :data:`ITEMS_AHEAD` meanwhile.

    The results raise what reading raised.
    """

    def __init__(self, read: Callable[[ManifestRow], Performance], rows: Iterable[ManifestRow]) -> None:
        self._read, self._rows = read, deque(rows)
        self._thread = ThreadPoolExecutor(1, "reader")
        self._ahead: deque[tuple[ManifestRow, Future[Performance]]] = deque()

    def __len__(self) -> int:
        return len(self._ahead) + len(self._rows)

    def start(self) -> None:
        """Begin to read."""
        for _ in range(ITEMS_AHEAD):
            self._begin_next()

    def next(self) -> tuple[ManifestRow, Future[Performance]] | None:
        """The next row and what is read for it; None behind the last."""
        self._begin_next()
        return self._ahead.popleft() if self._ahead else None

    def take_back(self) -> ManifestRow:
        """The last row, which is not to come any more."""
        if self._rows:
            return self._rows.pop()
        row, performance = self._ahead.pop()
        performance.cancel()
        return row

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin_next(self) -> None:
        if self._rows:
            row = self._rows.popleft()
            self._ahead.append((row, self._thread.submit(self._read, row)))
