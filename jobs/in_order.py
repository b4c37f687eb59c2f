"""Work that threads do side by side, taken in the order in which it was given."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(pool: Executor, work: Callable[[Given], Made], given: Iterable[Given], most: int) -> Iterator[Made]:
    """What ``work`` makes of each thing, in their order; at most so many are under way or wait to be taken.

    Who stops early, or meets an error, has nothing begun any more.
    """
    under_way: deque[Future[Made]] = deque()
    try:
        for each in given:
            under_way.append(pool.submit(work, each))
            if len(under_way) >= most:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for left in under_way:
            left.cancel()
