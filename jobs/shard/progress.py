"""How far shards are, as an actor tells its driver now and then."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from renderer.rendering import RenderRequest

SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class ShardProgress:
    """How far a shard is: items (with fractions for those under way), seconds of audio, failed items.

    Where several workers share the shard, it is how far one of them is, who has the rows from ``first_row`` on.
    """

    shard: int
    items: float
    audio_seconds: float
    failed: int
    first_row: int = 0

    @property
    def task(self) -> tuple[int, int]:
        """The key of the task that it is about."""
        return self.shard, self.first_row


Report = Callable[[ShardProgress], None]
TaskKey = tuple[int, int]


@dataclass(eq=False)
class _TaskCount:
    """What a task has of results; ``reported`` is the most items that were ever reported of it."""

    items: int = 0
    audio_seconds: float = 0.0
    failed: int = 0
    reported: float = 0.0


@dataclass(eq=False)
class _Begun:
    """An item of a task without a result."""

    task: TaskKey
    request: RenderRequest
    is_rendered: bool = False

    @property
    def seconds(self) -> float:
        """Of audio that it will have."""
        return self.request.duration


class ProgressReporter:
    """Reports on the tasks that a worker renders; ``generated`` says how far the renderer is with items under way."""

    def __init__(self, report: Report, generated: Callable[[], Mapping[str, float]]) -> None:
        self._report, self._generated = report, generated
        self._tasks: defaultdict[TaskKey, _TaskCount] = defaultdict(_TaskCount)
        self._begun: dict[str, _Begun] = {}
        self._last_report = time.monotonic()

    def began(self, task: TaskKey, request: RenderRequest) -> None:
        """An item is under way."""
        self._begun[request.item_id] = _Begun(task, request)

    def rendered(self, item_id: str) -> None:
        """All of an item's audio is there; it is yet to be written."""
        if begun := self._begun.get(item_id):
            begun.is_rendered = True

    def ended(self, task: TaskKey, item_id: str, failed: bool) -> None:
        """An item has its result."""
        begun, count = self._begun.pop(item_id, None), self._tasks[task]
        count.items += 1
        count.failed += failed
        count.audio_seconds += 0.0 if failed or begun is None else begun.seconds
        self.report_now_and_then()

    def forget(self, task: TaskKey) -> None:
        """A task is finished, or dropped."""
        self._tasks.pop(task, None)
        self._begun = {item_id: begun for item_id, begun in self._begun.items() if begun.task != task}

    def report_now_and_then(self) -> None:
        """Report, if it is time to."""
        now = time.monotonic()
        if now - self._last_report < SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = now
        items: defaultdict[TaskKey, float] = defaultdict(float)
        seconds: defaultdict[TaskKey, float] = defaultdict(float)
        generated = self._generated()
        for item_id, begun in self._begun.items():
            done = begun.seconds if begun.is_rendered else min(generated.get(item_id, 0.0), begun.seconds)
            items[begun.task] += done / begun.seconds if begun.seconds else 0.0
            seconds[begun.task] += done
        for task in sorted({*self._tasks, *items}):
            count, (shard, first_row) = self._tasks[task], task
            count.reported = max(count.reported, count.items + items[task])
            audio_seconds = count.audio_seconds + seconds[task]
            self._report(ShardProgress(shard, count.reported, audio_seconds, count.failed, first_row))
