"""A worker without a renderer: it knows how long each row takes, and does what orders say in no time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from jobs.shard.orders import News, Orders, Standing
from jobs.shard.progress import TaskKey
from jobs.shard.task import Part, Task
from schemas.marker import Marker, StoredObject

Item = Sequence[float]
"""The seconds that each of an item's segments takes in a slot."""


@dataclass(eq=False)
class _Begun:
    task: Task
    waiting: deque[int]
    under_way: int = 0
    done: int = 0

    @property
    def standing(self) -> Standing:
        return Standing(self.task, len(self.waiting), self.done)

    def give_back(self, count: int) -> Task:
        given = tuple([self.waiting.pop() for _ in range(count)][::-1])
        theirs = replace(self.task, rows=given)
        self.task = replace(self.task, rows=tuple(row for row in self.task.places if row not in set(given)))
        return theirs


def _rows(task: Task) -> deque[int]:
    return deque(task.probe or (row for row in task.places if row not in task.quarantined))


@dataclass(eq=False)
class _Running:
    shard: _Begun
    segments: int


@dataclass(eq=False)
class SimulatedWorker:
    """So many ``slots``, as a decode batch has; ``slowness`` 2 takes twice as long for everything.

    ``time`` is when it came back last, ``filled`` the seconds that its slots were in use, all added up, and ``busy``
    those in which any was. It ``died`` if it began one of the ``killers`` among the rows.
    """

    items: Sequence[Item]
    slots: int
    slowness: float = 1.0
    killers: frozenset[int] = frozenset()
    died: bool = False
    time: float = 0.0
    filled: float = 0.0
    busy: float = 0.0
    _line: list[_Begun] = field(default_factory=list)
    _ends: list[tuple[float, int, _Running]] = field(default_factory=list)
    _segments: deque[tuple[float, _Running]] = field(default_factory=deque)
    _number: int = 0

    def work(self, orders: Orders) -> News:
        """Carry out orders, as :meth:`ShardRenderer.work` does."""
        begun: dict[TaskKey, _Begun | None] = {shard.task.key: shard for shard in self._line}
        self._line = [begun.pop(task.key, None) or _Begun(task, _rows(task)) for task in orders.line]
        assert not begun, "what is begun was taken away"
        if orders.give_back:
            return News(given_back=self._give_back(orders.give_back), line=self._standings)
        until = self.time + orders.seconds
        while not self.died and not self._is_over and sum(len(shard.waiting) for shard in self._line) >= orders.low:
            self._begin()
            if not self._ends or self._ends[0][0] > until:
                self._pass(until)
                break
            self._end_next()
        return self._finish() if self._is_over else News(line=self._standings)

    @property
    def begun(self) -> float:
        """The seconds of slots that the rows take which are begun or done, and in no marker yet."""
        return sum(
            sum(self.items[shard.task.shard.first_row + row])
            for shard in self._line
            for row in set(_rows(shard.task)) - set(shard.waiting)
        )

    @property
    def _standings(self) -> tuple[Standing, ...]:
        return tuple(shard.standing for shard in self._line)

    @property
    def _is_over(self) -> bool:
        return not self._line[0].waiting and not self._line[0].under_way

    def _give_back(self, count: int) -> tuple[Task, ...]:
        given = []
        for shard in reversed(self._line):
            waiting = min(count, len(shard.waiting))
            if waiting == len(shard.task.places):
                self._line.remove(shard)
                given.append(shard.task)
            elif waiting and shard.task.can_be_split:
                given.append(shard.give_back(waiting))
            count -= waiting
        return tuple(given)

    def _begin(self) -> None:
        """Fill the slots: as long as one is free, the next row is begun."""
        while len(self._ends) < self.slots:
            if not self._segments:
                shard = next((shard for shard in self._line if shard.waiting), None)
                if shard is None:
                    return
                row = shard.task.shard.first_row + shard.waiting.popleft()
                self.died |= row in self.killers
                segments = self.items[row]
                shard.under_way += 1
                running = _Running(shard, len(segments))
                self._segments.extend((seconds, running) for seconds in segments)
            seconds, running = self._segments.popleft()
            self._number += 1
            heappush(self._ends, (self.time + seconds * self.slowness, self._number, running))

    def _end_next(self) -> None:
        end, _, running = self._ends[0]
        self._pass(end)
        heappop(self._ends)
        running.segments -= 1
        if not running.segments:
            running.shard.under_way -= 1
            running.shard.done += 1

    def _pass(self, time: float) -> None:
        passed, self.time = max(time - self.time, 0.0), max(time, self.time)
        self.filled += passed * len(self._ends)
        self.busy += passed if self._ends else 0.0

    def _finish(self) -> News:
        task = self._line.pop(0).task
        if task.probe:
            return News(line=self._standings, finished=task)
        if task.is_part:
            part = Part(f"{task.key}", tuple(sorted(task.rows)), 0, 1.0, 1.0, 1.0, ())
            return News(line=self._standings, finished=task, part=part)
        if task.parts:
            rows = sorted(row for part in task.parts for row in part.rows)
            assert rows == list(range(task.shard.row_count)), "parts lack rows, or have some twice"
        nothing = StoredObject("", 0, "")
        marker = Marker(
            shard=task.shard.index,
            attempt="",
            items=task.shard.row_count,
            failures={},
            audio_seconds=1.0,
            render_seconds=1.0,
            metadata=nothing,
            objects=(),
        )
        return News(line=self._standings, finished=task, marker=marker)
