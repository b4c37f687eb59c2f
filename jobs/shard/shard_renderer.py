"""The worker's part of a run, without Ray: a renderer that is loaded once and renders one shard after the other."""

import time
import traceback
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from jobs.errors import PlaceError
from jobs.inputs.inputs import Inputs
from jobs.inputs.pinned_inputs import PinnedManifest, check_unchanged
from jobs.output.layouts import open_writer
from jobs.run_directory.run_directory import RunDirectory, shard_name
from jobs.shard.attempt import ShardAttempt
from jobs.shard.backend import Backend
from jobs.shard.committer import Committer
from jobs.shard.item_writer import ItemWriter
from jobs.shard.items import ItemReader
from jobs.shard.open_shard import OpenShard
from jobs.shard.orders import News, Orders, Standing
from jobs.shard.progress import ProgressReporter, Report
from jobs.shard.shard_stream import ShardStream
from jobs.shard.task import Part, Task
from jobs.shard.thresholds import Thresholds
from jobs.storage import Storage
from renderer.audio.loudness import Level
from renderer.decoding.schedule import Occupancy
from schemas.marker import Marker
from schemas.results import ItemResult
from schemas.run import Run


@dataclass(frozen=True, eq=False)
class ShardWork:
    """All that an actor needs to render any shard of a run."""

    run: Run
    manifest: str
    bank: str | None
    storage: Storage
    backend: Backend
    inputs: Inputs = field(default_factory=Inputs)


class ShardRenderer:
    """Renders shards: reads their rows, renders them, writes audio, notes and metadata, and commits.

    It has a line of tasks, whose items share the batch: while one ends and is committed, the next is begun. What is
    begun stays begun when it comes back to its driver, if that asks for it again.
    """

    def __init__(self, work: ShardWork, report: Report = lambda progress: None) -> None:
        self._work = work
        self._manifest = PinnedManifest(work.manifest, work.run.manifest_sha256, work.inputs)
        if work.bank is not None:
            check_unchanged(work.bank, work.inputs.local(work.bank), work.run.prompts_sha256)
        self._directory = RunDirectory(work.storage)
        self._committer = Committer(work.storage)
        self._renderer = work.backend.load(work.run.settings.device)
        self._reader = ItemReader(work.run.settings, work.manifest, work.bank, work.inputs, self._renderer)
        self._level = Level(work.run.settings.loudness, work.run.settings.peak)
        self._thresholds = Thresholds.of(work.run.settings).written
        self._progress = ProgressReporter(report, self._renderer.progress)
        self._stream = ShardStream(self._renderer, work.run.settings, self._progress)
        self._open: list[OpenShard] = []
        self._since = time.monotonic()
        self._occupancy_before = Occupancy()

    @property
    def plan(self) -> str:
        """How many segments are rendered side by side, and what they need; empty for a renderer without batches."""
        return str(self._renderer.batch_plan or "")

    def render(self, task: Task) -> Marker:
        """Render a shard and return the marker that makes it final. A bad item is a failed row, no more."""
        marker = self.work(Orders((task,))).marker
        assert marker is not None, f"{task} does not end in a marker"
        return marker

    def work(self, orders: Orders) -> News:
        """Carry out orders; raises what is no item's fault, and then nothing is in line any more.

        What is wrong with a task behind the first is raised when that is the first. PlaceError if the first may be
        tried elsewhere and nothing that it needs is here.
        """
        self._put_in_line(orders.line)
        if orders.give_back:
            return News(given_back=self._give_back(orders.give_back), line=self._line)
        try:
            is_over = self._render(orders)
            if is_over and self._open[0].task.elsewhere and (fault := self._open[0].attempt.place_fault):
                raise PlaceError(fault)
        except BaseException:
            self._drop_all()
            raise
        return self._finish() if is_over else News(line=self._line)

    @property
    def _line(self) -> tuple[Standing, ...]:
        return tuple(shard.standing for shard in self._open)

    def _put_in_line(self, line: Sequence[Task]) -> None:
        begun = {shard.task.key: shard for shard in self._open}
        if not begun.keys() <= {task.key for task in line} or any(
            begun[task.key].task != task for task in line if task.key in begun
        ):
            self._drop_all()
            begun = {}
        if not begun:
            self._since = time.monotonic()
        self._open = [begun.get(task.key) or self._opened(task) for task in line]

    def _opened(self, task: Task) -> OpenShard:
        shard, run = task.shard, self._work.run
        found = self._manifest.slice(shard.first_row, shard.row_count)
        wanted = [place for place in self._wanted(task) if not task.probe or place in task.probe]
        name = f"{shard_name(shard.index)}-{uuid.uuid4().hex}"
        writer = open_writer(self._work.storage, run.settings, name)
        quarantined = {found.rows[place].item_id: fault for place, fault in task.quarantined.items()}
        item_writer = ItemWriter(task.key, run, self._level, self._thresholds, writer)
        rows, order = [found.rows[place] for place in sorted(wanted)], [found.rows[place] for place in wanted]
        attempt = ShardAttempt(rows, quarantined, self._reader, item_writer, self._progress, order)
        self._stream.add(attempt)
        return OpenShard(task, name, found, wanted, writer, attempt)

    def _give_back(self, count: int) -> tuple[Task, ...]:
        """Take so many rows that are not begun off the end of the line: whole tasks, and at last a share of one."""
        given: list[Task] = []
        for shard in reversed(self._open):
            waiting = min(count, shard.attempt.waiting)
            if waiting == len(shard.task.places):
                self._open.remove(shard)
                self._stream.remove(shard.attempt)
                shard.attempt.close()
                given.append(shard.task)
            elif waiting and shard.task.can_be_split:
                given.append(shard.give_back(waiting))
            count -= waiting
            if not count:
                break
        return tuple(given)

    def _render(self, orders: Orders) -> bool:
        """Render until there is a reason to come back; whether the first task in line is over."""
        first, until = self._open[0].attempt, time.monotonic() + orders.seconds

        def is_enough() -> bool:
            waiting = sum(shard.attempt.waiting for shard in self._open)
            return first.collect() or waiting < orders.low or time.monotonic() >= until

        self._stream.render(is_enough)
        if self._stream.is_idle and not first.waiting and not orders.low:  # What is rendered is yet to be written.
            is_over = first.collect(wait=True)
            assert is_over, "items were neither rendered nor failed"
        return first.collect()

    def _finish(self) -> News:
        """Commit the first task in line, and meanwhile go on with those behind it."""
        shard = self._open.pop(0)
        self._stream.remove(shard.attempt)
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        dropped = ""
        try:
            if shard.task.probe:
                return News(line=self._line, finished=shard.task)
            with ThreadPoolExecutor(1, "commit") as thread:
                stored = thread.submit(self._store, shard, shard.attempt.results(seconds), self._occupancy())
                try:
                    self._stream.render(stored.done)
                except Exception as error:  # What is wrong with another task is raised when that is asked for.
                    dropped = "".join(traceback.format_exception(error))
                    self._drop_all()
            marker, part = stored.result()
            return News(line=self._line, finished=shard.task, marker=marker, part=part, dropped=dropped)
        finally:
            shard.attempt.close()

    def _store(
        self, shard: OpenShard, results: Sequence[ItemResult], occupancy: float | None
    ) -> tuple[Marker | None, Part | None]:
        if shard.task.is_part:
            return None, self._committer.store_part(shard, results, occupancy)
        return self._committer.commit(shard, results, occupancy, self._renderer.batch_size), None

    def _occupancy(self) -> float | None:
        """How full the batch was since the last shard was over; None if it made no step."""
        now = self._renderer.occupancy
        since, self._occupancy_before = now.since(self._occupancy_before), now
        return since.share if since.steps else None

    def _wanted(self, task: Task) -> Sequence[int]:
        """Which rows of a shard are rendered, in the order in which they are begun."""
        if task.generation == 0:
            return task.places
        earlier = self._directory.result_rows(self._directory.marker(task.shard.index, task.generation - 1))
        return [place for place, status in enumerate(earlier["status"].to_pylist()) if status == "failed"]

    def _drop_all(self) -> None:
        self._stream.clear()
        while self._open:
            self._open.pop(0).attempt.close()
