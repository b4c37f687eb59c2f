"""Which place is at fault: a node that lacks what others have must not turn the work of all into failed rows.

Policy alone: no Ray, no storage. A worker whose every item of a shard fails for reasons of the place (a missing file,
no permission, no credentials) commits nothing: its place is suspected, gets no new shard, and the shard is tried at
another one. If it is rendered there, the first place was at fault, and after three shards in a row it is given up.
Where every place says the same, the rows are at fault: they fail as on one machine.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from jobs.shard.progress import TaskKey
from jobs.shard.task import Task

STRIKES = 3
"""So many shards in a row that other places could render say that a place is not fit for this run."""

AWAITED_SECONDS = 180.0
"""So long a worker that is asked for may yet come to another place; a cluster that does not grow is not waited for."""


class Place(NamedTuple):
    """A node: its name, and Ray's id of it. Unknown until a worker is up."""

    host: str = ""
    node: str = ""

    def __str__(self) -> str:
        return f"{self.host} (node {self.node[:8]})" if self.node else "a node that is not known"


class Places:
    """Where workers are, what is tried elsewhere, and who is to blame.

    On one machine (not ``several``) nothing is ever tried elsewhere. ``clock`` is in seconds.
    """

    def __init__(self, several: bool, clock: Callable[[], float]) -> None:
        self.several, self._clock = several, clock
        self._workers: dict[int, Place] = {}
        self._loading: set[int] = set()
        self._starting: dict[int, float] = {}
        self._said: dict[TaskKey, set[Place]] = {}
        """The tasks under suspicion, and the places that lack what they need."""
        self._strikes: Counter[Place] = Counter()

    def starts(self, worker: int) -> None:
        """A worker is asked for; nobody knows where it will be, or if it comes."""
        self.leaves(worker)
        self._starting[worker] = self._clock()

    def loads(self, worker: int) -> None:
        """It is up, and loads the model."""
        self._starting.pop(worker, None)
        self._loading.add(worker)

    def settles(self, worker: int, place: Place) -> None:
        """It is ready for work."""
        self.leaves(worker)
        self._workers[worker] = place

    def leaves(self, worker: int) -> None:
        """It died or is given up."""
        self._starting.pop(worker, None)
        self._loading.discard(worker)
        self._workers.pop(worker, None)

    @property
    def of_workers(self) -> Sequence[Place]:
        """The place of each worker that is ready."""
        return list(self._workers.values())

    def is_suspected(self, place: Place) -> bool:
        """Whether it is to get nothing new until it is known who is at fault."""
        return any(place in said for said in self._said.values())

    def allows(self, place: Place, task: Task) -> bool:
        """Whether a task may go to a place: one that lacks what it needs is asked again only if nobody else can be.

        A suspected place gets only what others could not do.
        """
        said = self._said.get(task.key)
        if said is None:
            return not self.is_suspected(place)
        return place not in said or not self._others(said)

    def sent(self, place: Place, task: Task) -> Task:
        """The task as it is given to a worker there: it may fail for reasons of the place while others can be asked."""
        said = self._said.get(task.key, set())
        elsewhere = self.several and not task.probe and self._others(said | {place})
        return task if task.elsewhere == elsewhere else replace(task, elsewhere=elsewhere)

    def failed(self, place: Place, task: Task) -> None:
        """Nothing of a task can be had there: it is for another place."""
        self._said.setdefault(task.key, set()).add(place)

    def ended(self, place: Place, task: Task, rendered: int) -> list[Place]:
        """A task is over, with so many items rendered. Returns the places to be given up."""
        said = self._said.pop(task.key, set())
        if not rendered:
            return []
        self._strikes.pop(place, None)
        blamed = said - {place}
        self._strikes.update(blamed)
        return [each for each in sorted(blamed) if self._strikes[each] >= STRIKES]

    def dropped(self, task: Task) -> None:
        """A task is left unfinished: it says nothing of any place."""
        self._said.pop(task.key, None)

    def _others(self, said: set[Place]) -> bool:
        """Whether there are places, or may soon be, beside those that have said something."""
        if self._loading or any(place not in said for place in self._workers.values()):
            return True
        return any(self._clock() - since < AWAITED_SECONDS for since in self._starting.values())
