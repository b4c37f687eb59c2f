"""The next items are read while the renderer is at work: from S3 that takes longer than rendering does on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from renderer.midi.notes import Performance
from schemas.manifest import ManifestRow

ITEMS_AHEAD = 3


class ReadAhead:
    """Each row, in order, with what was read for it; a thread reads the next :data:`ITEMS_AHEAD` meanwhile.

    It begins at once. The results raise what reading raised.
    """

    def __init__(self, read: Callable[[ManifestRow], Performance], rows: Iterable[ManifestRow]) -> None:
        self._read, self._rows = read, iter(rows)
        self._thread = ThreadPoolExecutor(1, "reader")
        self._ahead: deque[tuple[ManifestRow, Future[Performance]]] = deque()
        for _ in range(ITEMS_AHEAD):
            self._begin_next()

    def __iter__(self) -> "ReadAhead":
        return self

    def __next__(self) -> tuple[ManifestRow, Future[Performance]]:
        self._begin_next()
        if not self._ahead:
            raise StopIteration
        return self._ahead.popleft()

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin_next(self) -> None:
        if (row := next(self._rows, None)) is not None:
            self._ahead.append((row, self._thread.submit(self._read, row)))
