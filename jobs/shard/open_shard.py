"""A task that a worker has in line."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from jobs.output.writers import Writer
from jobs.shard.attempt import ShardAttempt
from jobs.shard.orders import Standing
from jobs.shard.task import Task
from schemas.manifest import ManifestSlice


class OpenShard:
    """A task that is in line or under way: ``places`` says which of the shard's rows are rendered, in their order.

    ``name`` is that of the attempt. ``rows`` are the manifest's, as a table.
    """

    def __init__(
        self, task: Task, name: str, found: ManifestSlice, places: Sequence[int], writer: Writer, attempt: ShardAttempt
    ) -> None:
        self.task, self.name, self.writer, self.attempt = task, name, writer, attempt
        self.places = sorted(places)
        self._found = found

    @property
    def rows(self) -> pa.Table:
        """What the manifest says of what is rendered."""
        return self._found.table.take(pa.array(self.places, pa.int64()))

    @property
    def standing(self) -> Standing:
        """How far it is."""
        return Standing(self.task, self.attempt.waiting, self.attempt.done)

    def give_back(self, count: int) -> Task:
        """The task of the last ``count`` rows that are not begun, which are others' from now on."""
        ids = set(self.attempt.give_back(count))
        given = [place for place in self.task.places if self._found.rows[place].item_id in ids]
        kept = tuple(place for place in self.task.places if place not in set(given))
        self.places = sorted(kept)
        theirs = replace(self.task, rows=tuple(given))
        self.task = replace(self.task, rows=kept)
        return theirs
