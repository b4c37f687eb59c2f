"""What follows when workers die or hang: what is tried next, which items are given up, which workers.

Policy alone: no Ray, no clock, no storage. A death says nothing of who is at fault, so the first time the shard
is rendered again as a whole: machines die more often than items kill. The next time parts of it are tried
without committing anything, first of about the square root of its items, then single ones; an item on which a
worker dies three times when it is alone is quarantined: it becomes a failed row of its shard.

A worker may begin a second shard while the first one ends. Nobody knows on which of the two it died, so that charges
neither; both are rendered again, and alone.
"""

from collections import deque
from collections.abc import Iterable, Sequence
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
    """The tasks that wait: each shard once, or what follows from its workers' deaths."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting = deque(tasks)
        self._trials: dict[int, _Trial] = {}
        self._alone: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self) -> Task:
        """Take the next task."""
        return self._waiting.popleft()

    def following(self, task: Task, others: int) -> Task | None:
        """Take the task that a worker may begin while ``task`` ends, if it leaves one for each of ``others``."""
        if len(self._waiting) <= others or self._is_suspect(task) or self._is_suspect(self._waiting[0]):
            return None
        return self._waiting.popleft()

    def ended(self, task: Task) -> None:
        """A call came back: a shard is finished, or some of its rows do no harm."""
        if task.probe:
            self._waiting.appendleft(self._trials[task.shard.index].next())
        else:
            self._trials.pop(task.shard.index, None)

    def failed(self, task: Task) -> None:
        """A call raised, as it would again: its shard is left unfinished."""
        self._trials.pop(task.shard.index, None)

    def died(self, task: Task, fault: Fault, following: Task | None = None) -> Outcome:
        """A worker died of a task, or hung, and may have begun the ``following``. Says what follows for the shard."""
        if following is not None:
            self._alone |= {task.shard.index, following.shard.index}
            self._waiting.extendleft([following, task])
            return "tried again"
        trial = self._trials.setdefault(task.shard.index, _Trial(task))
        rows = task.probe or tuple(row for row in range(task.shard.row_count) if row not in task.quarantined)
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
                    del self._trials[task.shard.index]
                    return "given up"
                trial.deaths, trial.found = 0, False
                trial.parts.extend(_parts(rows))
                outcome = "split"
        self._waiting.appendleft(trial.next())
        return outcome

    def _is_suspect(self, task: Task) -> bool:
        return task.shard.index in self._alone or task.shard.index in self._trials

    def _charge(self, trial: _Trial, row: int, fault: Fault) -> Outcome:
        tries = trial.tries[row] = trial.tries.get(row, 0) + 1
        if tries < ITEM_TRIES:
            if trial.task.shard.row_count > 1:  # After the others: good ones show that the worker is well.
                trial.parts.append((row,))
            return "tried again"
        told = replace(fault, message=f"{fault.message} ({tries} times, when it was rendered alone)")
        trial.task = replace(trial.task, quarantined={**trial.task.quarantined, row: told})
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
