"""Which worker does what next: policy alone, without Ray, clock or storage.

Tasks wait in one queue, the longest first. A worker takes the next when its own rows are all begun, so that its batch
stays full. Toward the end of a run it takes no more than a fair share of what is left. Where others have nothing to
begin, a worker gives back what it has not begun beyond its share: tasks, or rows of one, whose shard then is in parts.
So no row waits at one worker while another has nothing to do, however wrong the guess was of how long it takes.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from jobs.run.pace import Pace
from jobs.run.places import Place, Places
from jobs.run.retries import Outcome, Retries
from jobs.run.row_weights import RowWeights
from jobs.run.split_shards import SplitShards
from jobs.run.worker_load import WorkerLoad
from jobs.shard.orders import News, Orders, Standing
from jobs.shard.prefetch import ITEMS_AHEAD
from jobs.shard.task import Fault, Task

LONGEST_LINE = 4
"""So many tasks are in a worker's line at most, as nobody knows of which of them it died."""


def rows_ahead(batch_size: int) -> int:
    """How many rows are to wait at a worker, so that the next are read, and its batch stays full."""
    return max(ITEMS_AHEAD, batch_size // 8)


class Dispatcher:
    """The workers that are up, by number, and what there is to do.

    A worker is to have ``ahead`` rows that are not begun. ``places`` say which tasks may go where.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        weights: RowWeights | None = None,
        ahead: int = 1,
        places: Places | None = None,
    ) -> None:
        self._weights, self._ahead = weights or RowWeights(), ahead
        self._places = places or Places(False, lambda: 0.0)
        tasks = list(tasks)
        self._queue = Retries(tasks)
        self.split_shards = SplitShards()
        self._workers: dict[int, WorkerLoad] = {}
        self._resting: dict[int, None] = {}
        """In the order in which they came."""
        self._active = 0
        self._pace = Pace(sum(self._weight(task) for task in tasks))
        self._expected = 0
        self._is_stopping = False

    @property
    def has_tasks(self) -> bool:
        """Whether a worker is wanted for something that waits."""
        return any(map(self._is_open, self._queue))

    @property
    def resting(self) -> list[int]:
        """The workers that have nothing to do, the longest first."""
        return list(self._resting)

    @property
    def speed(self) -> float | None:
        """Weight in a second that one worker renders; None while that is not known."""
        return self._pace.speed

    def stop(self) -> None:
        """From now on only what workers have first in line is finished, and what is begun in parts."""
        self._is_stopping = True

    def expect(self, workers: int) -> None:
        """So many more workers will soon be ready: nobody takes a second task that one of these could begin."""
        self._expected = workers

    def joined(self, worker: int, place: Place | None = None) -> None:
        """A worker is ready."""
        self._workers[worker] = WorkerLoad(place or Place())
        self._resting[worker] = None
        self._active += 1

    def gone(self, worker: int) -> WorkerLoad:
        """A worker is not there any more. Returns what it had in line."""
        load = self._workers.pop(worker)
        self._resting.pop(worker, None)
        self._active -= not load.is_draining
        return load

    def drain(self, worker: int) -> None:
        """A worker's machine will be gone soon: it begins nothing any more."""
        load = self._workers[worker]
        self._active -= not load.is_draining
        load.is_draining = True

    def has(self, worker: int) -> bool:
        """Whether a worker is there."""
        return worker in self._workers

    def is_draining(self, worker: int) -> bool:
        """Whether it is known that a worker's machine will be gone."""
        return self._workers[worker].is_draining

    def line(self, worker: int) -> list[Task]:
        """The tasks that a worker has."""
        return self._workers[worker].tasks

    def came_back(self, worker: int, news: News, seconds: float) -> None:
        """A call ended well, after so many seconds."""
        load = self._workers[worker]
        lost = self._lost(load, news)
        before = load.done
        self._resting[worker] = None
        load.set(news.line, self._weights)
        finished = news.finished
        rendered = load.done - before
        if finished is not None and not finished.probe:
            rendered += self._weight(finished)
        self._pace.left -= rendered
        if not any(task.probe for task in [*load.tasks, finished] if task is not None):
            self._pace.learn(rendered, seconds)
        self._queue.put_back([*news.given_back, *lost])
        if finished is not None:
            self._finished(load, finished, news)

    def died(self, worker: int, fault: Fault | None) -> Outcome:
        """A worker is gone with all that it had; without a ``fault`` of the tasks, because its machine is."""
        load = self.gone(worker)
        self._pace.left += load.done
        if fault is None or not load.line:
            self._queue.put_back(load.tasks)
            return "tried again"
        verdict = self._queue.died(load.tasks, fault)
        if verdict == "given up":
            self._abandon(load.tasks[0])
        return verdict

    def raised(self, worker: int) -> None:
        """A call raised, as it would again: the first task is left unfinished; the worker has dropped the others."""
        first, *others = self._dropped(worker)
        self._queue.failed(first)
        self._abandon(first)
        self._queue.put_back(others)

    def refused(self, worker: int) -> None:
        """Where a worker is, its first task cannot be done; it has dropped the others as well. All are for others."""
        self._queue.put_back(self._dropped(worker))

    def orders(self) -> Iterator[tuple[int, Orders]]:
        """What workers that rest are to do now; one for which there is nothing goes on resting."""
        for worker in self.resting:
            if (orders := self._orders(self._workers[worker])) is not None:
                del self._resting[worker]
                yield worker, orders

    def _orders(self, load: WorkerLoad) -> Orders | None:
        if count := self._to_give_back(load):
            return Orders(tuple(load.tasks), give_back=count)
        while (task := self._next_for(load)) is not None:
            added = Standing(task, len(task.places))
            # What is only to be put together need not wait for what is to be rendered.
            load.set([added, *load.line] if task.parts else [*load.line, added], self._weights)
        if load.has_stopped and not any(map(_is_shared, load.tasks)):
            self._queue.put_back(load.tasks)
            load.set((), self._weights)
        if not load.line:
            return None
        low = self._ahead if self._may_take_more(load) else 0
        return Orders(tuple(load.tasks), low, self._pace.call_seconds(len(self._workers), self._level))

    def useful_workers(self, seconds: float) -> int:
        """For how many more workers there is work: tasks that wait, or a share of others' of so many seconds."""
        if self._is_stopping:
            return sum(map(self._is_open, self._queue))
        loads, least = self._workers.values(), self._pace.guessed_speed * seconds
        queued = self._pace.left - sum(load.left for load in loads)
        shares = sum(int(load.waiting / least) for load in loads if load.waiting and not self._has_alone(load))
        return shares + (max(len(self._queue), int(queued / least)) if self._queue else 0)

    def _dropped(self, worker: int) -> list[Task]:
        """What a worker had in line, of which it has nothing any more; it rests."""
        load = self._workers[worker]
        tasks = load.tasks
        self._pace.left += load.done
        self._resting[worker] = None
        load.set((), self._weights)
        return tasks

    def _finished(self, load: WorkerLoad, task: Task, news: News) -> None:
        load.has_stopped = self._is_stopping
        self._queue.ended(task)
        if news.marker is not None:
            self.split_shards.forget(task.shard.index)
        if news.part is not None and (whole := self.split_shards.add(task, news.part)) is not None:
            self._queue.put_back([whole])

    def _abandon(self, task: Task) -> None:
        """A shard will have no marker."""
        self._pace.left -= self._weight(task)
        self.split_shards.forget(task.shard.index)

    def _lost(self, load: WorkerLoad, news: News) -> list[Task]:
        """What a worker has dropped: it is neither done nor in line any more."""
        if not news.dropped:
            return []
        return [task for task in load.tasks if news.finished is None or task.key != news.finished.key]

    def _weight(self, task: Task) -> float:
        return float(self._weights.of(task).sum())

    @property
    def _level(self) -> float:
        """What each worker has to do until the end, if all have the same."""
        return self._pace.left / max(self._active, 1)

    def _is_open(self, task: Task) -> bool:
        return not self._is_stopping or _is_shared(task)

    def _fits(self, load: WorkerLoad, task: Task) -> bool:
        """Whether a task may be begun by a worker, beside what it has."""
        if not self._is_open(task) or (load.line and (task.probe or self._queue.is_alone(task))):
            return False
        return self._places.allows(load.place, task)

    def _has_alone(self, load: WorkerLoad) -> bool:
        return any(self._queue.is_alone(standing.task) for standing in load.line)

    def _may_take_more(self, load: WorkerLoad) -> bool:
        if load.is_draining or len(load.line) >= LONGEST_LINE or self._has_alone(load):
            return False
        has_room = not load.line or (load.left < self._level and len(self._queue) > self._expected)
        return has_room and any(self._fits(load, task) for task in self._queue)

    def _next_for(self, load: WorkerLoad) -> Task | None:
        """Take the next task for a worker: its share of it, where that is less."""
        if (load.line and load.rows_waiting >= self._ahead) or not self._may_take_more(load):
            return None
        task = self._queue.take(lambda task: self._fits(load, task))
        return self._places.sent(load.place, self._share_of(load, task))

    def _share_of(self, load: WorkerLoad, task: Task) -> Task:
        """What a worker is to have of a task; the rest waits for others."""
        least = self._pace.least_share
        if math.isinf(least) or not task.can_be_split or self._queue.is_alone(task):
            return task
        weights = self._weights.of(task)
        share = max(self._level - load.left, least)
        kept = max(1, int((np.cumsum(weights) <= share).sum()))
        if weights[kept:].sum() < least:
            return task
        task, rest = task.split(len(weights) - kept)
        self._queue.put_back([rest])
        return task

    def _to_give_back(self, load: WorkerLoad) -> int:
        """How many of its rows a worker is to give back, for others that have nothing to begin."""
        if not load.rows_waiting or self._has_alone(load):
            return 0
        if load.is_draining:
            return load.tail(math.inf, 0.0, self._weights)
        if any(map(self._is_open, self._queue)):
            return 0
        hungry = [other for other in self._workers.values() if not other.rows_waiting and not other.is_draining]
        count = load.tail(load.left - self._level, self._pace.least_share, self._weights) if hungry else 0
        # Whoever rests begins at once what here would wait.
        return count or (load.whole_tail if any(not other.line for other in hungry) else 0)


def _is_shared(task: Task) -> bool:
    """Whether a shard is begun in parts."""
    return task.is_part or bool(task.parts)
