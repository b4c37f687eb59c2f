"""The next items are read while the renderer is at work: from S3 that takes longer than rendering does on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from renderer.notes import Performance
from schemas.manifest import ManifestRow

ITEMS_AHEAD = 3


def read_ahead(
    read: Callable[[ManifestRow], Performance], rows: Iterable[ManifestRow]
) -> Iterator[tuple[ManifestRow, Future[Performance]]]:
    """Each row, in order, with what was read for it; a thread reads the next :data:`ITEMS_AHEAD` meanwhile.

    The results raise what reading raised.
    """
    ahead: deque[tuple[ManifestRow, Future[Performance]]] = deque()
    thread = ThreadPoolExecutor(1, "reader")
    try:
        for row in rows:
            ahead.append((row, thread.submit(read, row)))
            if len(ahead) > ITEMS_AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
