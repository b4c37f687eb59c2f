"""The shards that several workers share: which parts of them are rendered."""

from collections import defaultdict
from collections.abc import Iterator

from jobs.shard.progress import ShardProgress
from jobs.shard.task import Part, Task


class SplitShards:
    """Keeps the parts of shards until all of a shard are there."""

    def __init__(self) -> None:
        self._parts: defaultdict[int, list[Part]] = defaultdict(list)

    def add(self, task: Task, part: Part) -> Task | None:
        """Keep a part; the task to put the shard together, if it was the last."""
        shard, parts = task.shard, self._parts[task.shard.index]
        parts.append(part)
        if sum(len(each.rows) for each in parts) < shard.row_count:
            return None
        return Task(shard, parts=tuple(sorted(parts, key=lambda each: each.rows)))

    def forget(self, shard: int) -> None:
        """A shard has its marker, or will have none."""
        self._parts.pop(shard, None)

    @property
    def progress(self) -> Iterator[ShardProgress]:
        """What is rendered of them, and in no marker yet."""
        for shard, parts in self._parts.items():
            for part in parts:
                yield ShardProgress(shard, len(part.rows), part.audio_seconds, part.failed, part.rows[0])
