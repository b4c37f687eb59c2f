"""What follows when workers die or hang: what is tried next, which items are given up, which workers.

Policy alone: no Ray, no clock, no storage. A death says nothing of who is at fault, so the first time the shard
is rendered again as a whole: machines die more often than items kill. The next time parts of it are tried
without committing anything, first of about the square root of its items, then single ones; an item on which a
worker dies three times when it is alone is quarantined: it becomes a failed row of its shard.

A worker may begin a second shard while the first one ends. Nobody knows on which of the two it died, so that charges
neither; both are rendered again, and alone. Where it is known that the machine is at fault, nothing is charged at all.

A part of a shard that several workers share is a task like another: what is found of it is found for its rows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import Literal

from jobs.shard.task import Fault, Task

ITEM_TRIES = 3
"""So often a worker may die of an item that it renders alone."""

FEW_ROWS = 16
"""So many rows are tried one by one; more, in parts of several."""

FRUITLESS_ROUNDS = 3
"""So often a shard's parts are tried in vain, when it is only as a whole that workers die of it."""

SLOT_DEATHS = 10
"""So many deaths in a row, without a call that ended well, say that the worker's machine is at fault."""

LOAD_TRIES = 3
"""So many deaths in a row while the model is loaded."""


Outcome = Literal["tried again", "split", "quarantined", "given up"]


@dataclass
class _Trial:
    """A shard of which workers died."""

    task: Task
    deaths: int = 0
    fruitless: int = 0
    found: bool = False
    parts: deque[tuple[int, ...]] = field(default_factory=deque)
    tries: dict[int, int] = field(default_factory=dict)

    def next(self) -> Task:
        """The next part to try; after the last, the shard."""
        return replace(self.task, probe=self.parts.popleft()) if self.parts else self.task


class Retries:
    """The tasks that wait: each once, or what follows from its workers' deaths."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting = deque(tasks)
        self._trials: dict[tuple[int, int], _Trial] = {}
        self._alone: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._waiting)

    def take(self, fits: Callable[[Task], bool] = lambda task: True) -> Task:
        """Take the next task that fits; there must be one."""
        task = next(task for task in self._waiting if fits(task))
        self._waiting.remove(task)
        return task

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Let tasks be the next."""
        self._waiting.extendleft(reversed(tasks))

    def is_alone(self, task: Task) -> bool:
        """Whether its worker is to have nothing else, because workers died of it, or may have."""
        return bool(self._alone or self._trials) and (task.key in self._alone or task.key in self._trials)

    def ended(self, task: Task) -> None:
        """A call came back: a task is finished, or some of its rows do no harm."""
        if task.probe:
            self._waiting.appendleft(self._trials[task.key].next())
        else:
            self._forget(task)

    def failed(self, task: Task) -> None:
        """A call raised, as it would again: its shard is left unfinished."""
        self._forget(task)

    def died(self, line: Sequence[Task], fault: Fault) -> Outcome:
        """A worker died, or hung, with these tasks, of which it may have begun all. Says what follows for the first."""
        if len(line) > 1:
            self._alone |= {task.key for task in line}
            self.put_back(line)
            return "tried again"
        (task,) = line
        trial = self._trials.setdefault(task.key, _Trial(task))
        rows = task.probe or tuple(row for row in task.places if row not in task.quarantined)
        outcome: Outcome = "tried again"
        if len(rows) == 1:
            outcome = self._charge(trial, rows[0], fault)
        elif task.probe:
            trial.parts.extendleft(reversed(_parts(rows)))
            outcome = "split"
        else:
            trial.deaths += 1
            if trial.deaths > 1 or fault.error_type == "TimedOut":  # To wait for a hung one twice is dear.
                trial.fruitless = 0 if trial.found else trial.fruitless + 1
                if trial.fruitless > FRUITLESS_ROUNDS:
                    self._forget(task)
                    return "given up"
                trial.deaths, trial.found = 0, False
                trial.parts.extend(_parts(rows))
                outcome = "split" if rows else "tried again"
        self._waiting.appendleft(trial.next())
        return outcome

    def _forget(self, task: Task) -> None:
        self._trials.pop(task.key, None)
        self._alone.discard(task.key)

    def _charge(self, trial: _Trial, row: int, fault: Fault) -> Outcome:
        tries = trial.tries[row] = trial.tries.get(row, 0) + 1
        if tries < ITEM_TRIES:
            if len(trial.task.places) > 1:  # After the others: good ones show that the worker is well.
                trial.parts.append((row,))
            return "tried again"
        final = replace(fault, message=f"{fault.message} ({tries} times, when it was rendered alone)")
        trial.task = replace(trial.task, quarantined={**trial.task.quarantined, row: final})
        trial.found = True
        return "quarantined"


def _parts(rows: Sequence[int]) -> list[tuple[int, ...]]:
    size = ceil(sqrt(len(rows))) if len(rows) > FEW_ROWS else 1
    return [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]


@dataclass
class SlotHealth:
    """A worker's deaths in a row: a place where nothing succeeds is given up."""

    deaths: int = 0
    load_deaths: int = 0

    def loaded(self) -> None:
        """The model was loaded."""
        self.load_deaths = 0

    def succeeded(self) -> None:
        """A call ended well."""
        self.deaths = 0

    def died(self, loading: bool) -> bool:
        """Count a death; True if the worker is to be given up."""
        self.deaths += 1
        self.load_deaths += loading
        return self.load_deaths >= LOAD_TRIES or self.deaths >= SLOT_DEATHS
