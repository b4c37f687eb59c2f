"""Work on finished items beside the renderer: while the device renders, threads level, encode and write."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from renderer.rendering import Rendering
from schemas.results import ItemResult

THREADS = 4
"""Encoders and hashes leave the interpreter to others; on S3 most of the time is waiting."""

MOST_ITEMS = 4 * THREADS
MOST_BYTES = 256 << 20
"""So much audio may wait; one item may be longer."""


class Handled(NamedTuple):
    """An item that has been through the pool; ``result`` has its row, or raises what went wrong."""

    item_id: str
    seed: int
    result: Future[ItemResult]


class HostPool:
    """Turns renderings into results: written, and durable. Who adds more than it can take waits for it."""

    def __init__(self, handle: Callable[[Rendering], ItemResult]) -> None:
        self._handle = handle
        self._threads = ThreadPoolExecutor(THREADS, "host")
        self._under_way: deque[tuple[Handled, int]] = deque()
        self._bytes = 0

    def add(self, rendering: Rendering) -> list[Handled]:
        """Take a rendering as soon as there is room for it. Returns the items that are done by then."""
        size = rendering.samples.nbytes
        done = list(self.done())
        while self._under_way and self._is_full(size):
            done.append(self._oldest())
        handled = Handled(rendering.item_id, rendering.seed, self._threads.submit(self._handle, rendering))
        self._under_way.append((handled, size))
        self._bytes += size
        return done

    def done(self) -> Iterator[Handled]:
        """The items that are done, as far as none before them is not."""
        while self._under_way and self._under_way[0][0].result.done():
            yield self._oldest()

    def rest(self) -> Iterator[Handled]:
        """The items that are still under way, one after the other."""
        while self._under_way:
            yield self._oldest()

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _is_full(self, size: int) -> bool:
        return len(self._under_way) >= MOST_ITEMS or self._bytes + size > MOST_BYTES

    def _oldest(self) -> Handled:
        handled, size = self._under_way.popleft()
        self._bytes -= size
        handled.result.exception()  # Waits.
        return handled
