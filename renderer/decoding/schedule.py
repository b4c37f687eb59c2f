"""Which segments are generated together. Policy only: no tensors here."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, Protocol, Self, TypeVar


class Sized(Protocol):
    """Work of a length known beforehand."""

    @property
    def frames(self) -> int:
        """Steps from start to end."""
        ...

    @property
    def prefix(self) -> int:
        """Cache positions that are filled before the first step."""
        ...


Work = TypeVar("Work", bound=Sized)


class Occupancy(NamedTuple):
    """How many steps the slots made, all together, and how many of these served a segment."""

    steps: int = 0
    filled: int = 0

    @property
    def share(self) -> float:
        """The share that served a segment; of no steps, all."""
        return self.filled / self.steps if self.steps else 1.0

    def after(self, slots: int, filled: int) -> "Occupancy":
        """With one more step of so many slots, of which some were filled."""
        return Occupancy(self.steps + slots, self.filled + filled)

    def since(self, earlier: "Occupancy") -> "Occupancy":
        """What has come since."""
        return Occupancy(self.steps - earlier.steps, self.filled - earlier.filled)


class Queue(Generic[Work]):
    """Work from a source, and before it what is to be done again.

    Unlike other iterators it may go on after it ended, as work that is put back may come when the source is empty.
    """

    def __init__(self, source: Iterator[Work]) -> None:
        self._source = source
        self._first: deque[Work] = deque()

    def put_first(self, work: Work) -> None:
        """Hand out work before what is left of the source."""
        self._first.append(work)

    def __iter__(self) -> "Queue[Work]":
        return self

    def __next__(self) -> Work:
        return self._first.popleft() if self._first else next(self._source)


class Slots(Generic[Work]):
    """A fixed number of slots, each refilled as soon as its segment is done.

    Every segment's length is known, so nobody is asked whether it is finished, and work is pulled from the source
    only when a slot is free for it. A source that was empty is asked again: see :class:`Queue`.
    """

    def __init__(self, count: int, source: Iterator[Work]) -> None:
        self._source = source
        self._work: list[Work | None] = [None] * count
        self._step = [0] * count

    def admit(self) -> Iterator[tuple[int, Work]]:
        """Fill free slots with the next segments, as far as there are any."""
        for slot, work in enumerate(self._work):
            if work is None and (following := next(self._source, None)) is not None:
                self._work[slot] = following
                self._step[slot] = 0
                yield slot, following

    def close_gaps(self) -> Iterator[tuple[int, int]]:
        """Let the last filled slots hand what they hold to free ones before them: (from, to), one by one."""
        for slot in range(self.filled):
            if self._work[slot] is None:
                last = max(other for other, work in enumerate(self._work) if work is not None)
                self._work[slot], self._work[last] = self._work[last], None
                self._step[slot] = self._step[last]
                yield last, slot

    def finishing(self) -> list[tuple[int, Work]]:
        """The segments whose last step is the present one, with their slots."""
        pairs = enumerate(zip(self._work, self._step, strict=True))
        return [(slot, work) for slot, (work, step) in pairs if work is not None and step + 1 == work.frames]

    def advance(self) -> list[tuple[int, Work]]:
        """Count one step of every filled slot; the segments that it finished leave their slots."""
        finishing = self.finishing()
        self._step = [step + 1 for step in self._step]
        for slot, _ in finishing:
            self._work[slot] = None
        return finishing

    def halved(self) -> Self:
        """Half as many slots for what is left; what is under way begins anew, first of all."""
        left = Queue(self._source)
        for work in self._work:
            if work is not None:
                left.put_first(work)
        return type(self)(len(self._work) // 2, left)

    @property
    def used(self) -> list[int]:
        """Cache positions in use in each slot once this step's is written; 0 in free ones."""
        pairs = zip(self._work, self._step, strict=True)
        return [0 if work is None else work.prefix + step + 1 for work, step in pairs]

    @property
    def under_way(self) -> list[Work]:
        """The segments that slots hold."""
        return [work for work in self._work if work is not None]

    @property
    def filled(self) -> int:
        """How many slots hold a segment."""
        return len(self.under_way)
