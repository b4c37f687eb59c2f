"""Which sequences are generated together. Policy only: no tensors here."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import itemgetter
from typing import Generic, NamedTuple, Protocol, TypeVar


class Sized(Protocol):
    """A sequence of a length known beforehand."""

    @property
    def frames(self) -> int:
        """Steps from start to end."""
        ...

    @property
    def prefix(self) -> int:
        """Cache positions that are filled before the first step."""
        ...


S = TypeVar("S", bound=Sized)


class Occupancy(NamedTuple):
    """How many steps the slots made, all together, and how many of these served a sequence."""

    steps: int = 0
    filled: int = 0

    @property
    def share(self) -> float:
        """The share that served a sequence; of no steps, all."""
        return self.filled / self.steps if self.steps else 1.0

    def after(self, steps: int, filled: int) -> "Occupancy":
        """With so many more, of which some were filled."""
        return Occupancy(self.steps + steps, self.filled + filled)

    def since(self, earlier: "Occupancy") -> "Occupancy":
        """What has come since."""
        return Occupancy(self.steps - earlier.steps, self.filled - earlier.filled)


@dataclass(eq=False, slots=True)
class _Running(Generic[S]):
    """A sequence in a slot, and the count of the scheduler's steps at which it ends."""

    sequence: S
    slot: int
    end: int

    def __lt__(self, other: "_Running[S]") -> bool:
        return self.end < other.end


class Scheduler(Generic[S]):
    """A fixed number of slots, and the sequences that run in them or wait for one.

    Every sequence's length is known, so nobody is asked whether it is finished. ``filled`` slots hold a sequence;
    ``occupancy`` counts all steps so far.
    """

    def __init__(self, slots: int) -> None:
        self.occupancy = Occupancy()
        self._steps = 0
        self._waiting: deque[S] = deque()
        self._empty(slots)

    def _empty(self, slots: int) -> None:
        self.filled = 0
        self._slots: list[_Running[S] | None] = [None] * slots
        self._ends: list[_Running[S]] = []
        """A heap: the first to end is in front."""
        self._offsets: list[int | None] = [None] * slots
        """What each filled slot has in use beyond as many cache positions as there were steps."""

    @property
    def room(self) -> int:
        """How many slots are free for which nothing waits."""
        return max(0, len(self._slots) - self.filled - len(self._waiting))

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self.filled and not self._waiting

    def add(self, sequence: S) -> None:
        """Let a sequence wait for a slot."""
        self._waiting.append(sequence)

    def clear(self) -> None:
        """Drop all that runs or waits."""
        self._waiting.clear()
        self._empty(len(self._slots))

    def admit(self, at_once: int = 1) -> list[tuple[int, S]]:
        """Give free slots to what waits, as soon as ``at_once`` of them are free, or all: (slot, sequence) each."""
        free = len(self._slots) - self.filled
        if not self._waiting or (self.filled and free < at_once):
            return []
        slots = [slot for slot, running in enumerate(self._slots) if running is None]
        admitted = [(slot, self._waiting.popleft()) for slot in slots[: len(self._waiting)]]
        for slot, sequence in admitted:
            self._slots[slot] = running = _Running(sequence, slot, self._steps + sequence.frames)
            self._offsets[slot] = sequence.prefix + 1 - self._steps
            heappush(self._ends, running)
        self.filled += len(admitted)
        return admitted

    def close_gaps(self) -> list[tuple[int, int]]:
        """Let the last filled slots hand what they hold to free ones before them: (from, to), one by one."""
        moves: list[tuple[int, int]] = []
        while None in self._slots[: self.filled]:
            target = self._slots.index(None)
            source, running = next(
                (slot, running) for slot, running in reversed([*enumerate(self._slots)]) if running is not None
            )
            running.slot, self._slots[target], self._slots[source] = target, running, None
            self._offsets[target], self._offsets[source] = self._offsets[source], None
            moves.append((source, target))
        return moves

    @property
    def lengths(self) -> list[int]:
        """Cache positions in use in each slot once the next step's is written; 0 in free ones."""
        return [0 if offset is None else offset + self._steps for offset in self._offsets]

    def advance(self, steps: int = 1) -> list[tuple[int, S]]:
        """Count steps of every filled slot. Returns what has ended, in the order of the slots, which it still holds.

        A sequence that ends before the last of the steps stays in its slot without use.
        """
        self._steps += steps
        ended = []
        while self._ends and self._ends[0].end <= self._steps:
            ended.append(heappop(self._ends))
        unused = sum(self._steps - running.end for running in ended)
        self.occupancy = self.occupancy.after(steps * len(self._slots), steps * self.filled - unused)
        return sorted(((running.slot, running.sequence) for running in ended), key=itemgetter(0))

    def release(self, slots: Iterable[int]) -> None:
        """Free slots whose sequences have ended."""
        for slot in slots:
            self._slots[slot] = self._offsets[slot] = None
            self.filled -= 1

    def halve(self) -> None:
        """Go on with half as many slots; what they held begins anew, first of all."""
        self._waiting.extendleft(running.sequence for running in reversed(self._slots) if running is not None)
        self._empty(len(self._slots) // 2)

    def steps_made(self) -> Iterator[tuple[S, int]]:
        """What runs, and how many of its steps are made."""
        for running in self._slots:
            if running is not None:
                left = max(0, running.end - self._steps)
                yield running.sequence, running.sequence.frames - left
