"""How far the workers are, by what they say now and then: it is shown, and one that makes no progress is ended."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import ray

from jobs.run.dispatcher import Dispatcher
from jobs.run.display import Display
from jobs.run.heartbeat import Heartbeat
from jobs.run.workers import Slot, Workers
from jobs.run_directory.totals import Totals
from jobs.shard.progress import ShardProgress
from jobs.shard.task import Task

BLIND_SECONDS = 30.0
"""After so long without news of any actor, it is the news that failed, not the actors."""


class ProgressWatch:
    """Reads the progress board for a driver; ``item_timeout`` is in seconds."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        workers: Workers,
        totals: Totals,
        display: Display,
        heartbeat: Heartbeat,
        item_timeout: float,
    ) -> None:
        self._dispatcher, self._workers, self._totals = dispatcher, workers, totals
        self._display, self._heartbeat, self._item_timeout = display, heartbeat, item_timeout
        self._last_reading = time.monotonic()

    def read(self, reading: Any) -> None:
        """Take note of the progress that a call has read off the board, and end the actors that make none."""
        now = time.monotonic()
        try:
            latest: Sequence[ShardProgress] = ray.get(reading)
        except ray.exceptions.RayError:  # A run does not end because its progress cannot be read.
            return
        by_task = {progress.task: progress for progress in latest}
        was_blind = now - self._last_reading > BLIND_SECONDS or self._heartbeat.silent_seconds > 0
        self._last_reading = now
        for slot, line in self._at_work():
            before = slot.progress
            known = before | by_task
            slot.progress = {task.key: known[task.key] for task in line if task.key in known}
            if was_blind or slot.progress != before:
                slot.last_progress = now
            elif now - slot.last_progress > self._item_timeout and not slot.is_hung:
                slot.is_hung = True
                self._workers.restart(slot)

    def show(self, is_stopping: bool) -> None:
        """Show how far the run is."""
        at_work = list(self._at_work())
        under_way = [
            *(slot.progress[task.key] for slot, line in at_work for task in line if _counts(slot, task)),
            *self._dispatcher.split_shards.progress,
        ]
        self._display.show(
            self._totals.items + sum(progress.items for progress in under_way),
            self._totals.audio_seconds + sum(progress.audio_seconds for progress in under_way),
            self._totals.failed + sum(progress.failed for progress in under_way),
            len(at_work),
            max((_items_left(slot, line[0]) for slot, line in at_work), default=0.0) if is_stopping else None,
            self._heartbeat.silent_seconds,
        )

    @property
    def in_flight(self) -> dict[int, float]:
        """The shards that are under way, and how many of their items are done."""
        done: dict[int, float] = {}
        for slot, line in self._at_work():
            for task in line:
                items = slot.progress[task.key].items if task.key in slot.progress else 0.0
                done[task.shard.index] = done.get(task.shard.index, 0.0) + items
        return done

    def _at_work(self) -> Iterator[tuple[Slot, list[Task]]]:
        """The slots that carry out orders, and what each has in line."""
        for call in self._workers.calls:
            if call.orders is not None:
                yield call.slot, self._dispatcher.line(call.slot.number)


def _counts(slot: Slot, task: Task) -> bool:
    """Whether there is progress of a task: what is rendered a second time is among the totals already."""
    return task.key in slot.progress and not task.generation


def _items_left(slot: Slot, task: Task) -> float:
    """How many items of a task are not finished."""
    items = len(task.probe or task.places)
    return max(0.0, items - (slot.progress[task.key].items if task.key in slot.progress else 0.0))
