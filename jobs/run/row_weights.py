"""About how long the rows of a manifest take, compared with one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.shard.task import Task
from schemas.run import Shard

MUCH_LONGER = 2.0
"""So many times an average row."""


class RowWeights:
    """What each row weighs: 1 on average, and 1 each where nothing is known.

    ``known`` has a number for each row of the manifest: seconds, bytes, anything in proportion to its work.
    """

    def __init__(self, known: NDArray[np.float64] | None = None) -> None:
        mean = float(known.mean()) if known is not None and len(known) else 0.0
        # A row costs something, however short it is.
        self._rows = None if known is None or mean <= 0.0 else np.maximum(known / mean, 0.01)

    def of(self, task: Task) -> NDArray[np.float64]:
        """The weights of a task's rows, in the order in which they are begun."""
        if self._rows is None:
            return np.ones(len(task.places))
        return self._of(task.shard)[list(task.places)]

    def longest_first(self, shards: Sequence[Shard]) -> list[Task]:
        """A task for each shard, the one that takes longest first; so no worker is left with it at the end.

        Within a shard, rows that take much longer than most are begun first; the others stay in their order, as rows
        beside one another are often of one file.
        """
        tasks = [Task(shard, rows=self._order(shard)) for shard in shards]
        weight = {task.shard.index: float(self.of(task).sum()) for task in tasks}
        return sorted(tasks, key=lambda task: -weight[task.shard.index])

    def _of(self, shard: Shard) -> NDArray[np.float64]:
        assert self._rows is not None
        return self._rows[shard.first_row : shard.first_row + shard.row_count]

    def _order(self, shard: Shard) -> tuple[int, ...]:
        """The order in which a shard's rows are begun; none, if it is that of the manifest."""
        if self._rows is None:
            return ()
        order = np.argsort(self._of(shard) <= MUCH_LONGER, kind="stable")
        return () if order[0] == 0 and (np.diff(order) == 1).all() else tuple(order.tolist())
