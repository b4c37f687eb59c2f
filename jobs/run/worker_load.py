"""What a worker has in line, by weight."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.run.places import Place
from jobs.run.row_weights import RowWeights
from jobs.shard.orders import Standing
from jobs.shard.task import Task


@dataclass(eq=False)
class WorkerLoad:
    """A worker's line, as it was when it last came back, and with what was added since.

    ``waiting`` is what of it is not begun, ``under_way`` what is begun and not done, ``done`` the rest.
    """

    place: Place = field(default_factory=Place)
    line: list[Standing] = field(default_factory=list)
    is_draining: bool = False
    has_stopped: bool = False
    waiting: float = 0.0
    under_way: float = 0.0
    done: float = 0.0

    @property
    def tasks(self) -> list[Task]:
        """The tasks in line."""
        return [standing.task for standing in self.line]

    @property
    def rows_waiting(self) -> int:
        """How many rows are not begun."""
        return sum(standing.waiting for standing in self.line)

    @property
    def left(self) -> float:
        """All that is not done."""
        return self.waiting + self.under_way

    def set(self, line: Sequence[Standing], weights: RowWeights) -> None:
        """Take note of a line."""
        self.line = list(line)
        self.waiting = self.under_way = self.done = 0.0
        for standing in line:
            rows = weights.of(standing.task)
            if standing.task.probe:  # It leaves nothing that is done.
                self.under_way += float(rows.sum())
                continue
            begun = max(len(rows) - standing.waiting, 0)
            self.waiting += float(rows[begun:].sum())
            self.done += float(rows[: standing.done].sum())
            self.under_way += float(rows[standing.done : begun].sum())

    def tail(self, weight: float, least: float, weights: RowWeights) -> int:
        """How many rows at the end of the line, of those that are not begun, weigh no more than ``weight``.

        Whole tasks, and of one more a share, if that weighs ``least``.
        """
        count, rest = 0, weight
        for standing in reversed(self.line):
            rows = weights.of(standing.task)
            waiting = rows[len(rows) - standing.waiting :][::-1]
            if standing.waiting == len(rows) and waiting.sum() <= rest:
                count, rest = count + standing.waiting, rest - float(waiting.sum())
                continue
            share = int((np.cumsum(waiting) <= rest).sum())
            if standing.task.can_be_split and share and waiting[:share].sum() >= least:
                count += share
            break
        return count

    @property
    def whole_tail(self) -> int:
        """The rows of the last task, if none of it is begun and something else is in line; else 0."""
        last = self.line[-1]
        return last.waiting if len(self.line) > 1 and last.waiting == len(last.task.places) else 0
