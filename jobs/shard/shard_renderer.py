"""The worker's part of a run, without Ray: a renderer that is loaded once and renders one shard after the other."""

import io
import time
import traceback
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import PlaceError
from jobs.inputs.inputs import Inputs
from jobs.inputs.pinned_inputs import PinnedManifest, check_unchanged
from jobs.output.layouts import open_writer
from jobs.output.writers import Writer, stored_object
from jobs.run_directory.run_directory import RunDirectory, shard_name
from jobs.shard.attempt import ShardAttempt
from jobs.shard.backend import Backend
from jobs.shard.item_writer import ItemWriter
from jobs.shard.items import ItemReader
from jobs.shard.progress import ProgressReporter, Report
from jobs.shard.shard_stream import ShardStream
from jobs.shard.task import Task
from jobs.shard.thresholds import Thresholds
from jobs.storage import Storage
from renderer.decoding.schedule import Occupancy
from schemas.marker import Marker, count_failures, count_quality
from schemas.results import ItemResult, results_table
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


@dataclass(frozen=True, eq=False)
class _OpenShard:
    """A shard that is in line or under way: ``places`` says which of its rows, and ``rows`` are these."""

    task: Task
    name: str
    places: Sequence[int]
    rows: pa.Table
    writer: Writer
    attempt: ShardAttempt


class ShardRenderer:
    """Renders shards: reads their rows, renders them, writes audio, notes and metadata, and commits.

    While a shard ends and is committed, the one that is to follow it is begun. It must be the next that is asked for,
    else what was done for it is dropped. ``dropped`` says why it was, if the last call of :meth:`render` had to.
    """

    def __init__(self, work: ShardWork, report: Report = lambda progress: None) -> None:
        self._work = work
        self._manifest = PinnedManifest(work.manifest, work.run.manifest_sha256, work.inputs)
        if work.bank is not None:
            check_unchanged(work.bank, work.inputs.local(work.bank), work.run.prompts_sha256)
        self._directory = RunDirectory(work.storage)
        self._renderer = work.backend.load(work.run.settings.device)
        self._reader = ItemReader(work.run.settings, work.manifest, work.bank, work.inputs, self._renderer)
        self._thresholds = Thresholds.of(work.run.settings).written
        self._progress = ProgressReporter(report, self._renderer.progress)
        self._stream = ShardStream(self._renderer, work.run.settings, self._progress)
        self._open: deque[_OpenShard] = deque()
        self._since = time.monotonic()
        self._occupancy_before = Occupancy()
        self.dropped = ""

    @property
    def plan(self) -> str:
        """How many segments are rendered side by side, and what they need; empty for a renderer without batches."""
        return str(self._renderer.batch_plan or "")

    def render(self, task: Task, following: Task | None = None) -> Marker:
        """Render a shard and return the marker that makes it final. A bad item is a failed row, no more.

        PlaceError if the task may be tried elsewhere and nothing that it needs is here.
        """
        self._put_in_line(task, following)
        shard, seconds = self._rendered()
        try:
            if task.elsewhere and (fault := shard.attempt.place_fault):
                raise PlaceError(fault)
            return self._committed(shard, shard.attempt.results(seconds))
        finally:
            shard.attempt.close()

    def probe(self, task: Task) -> None:
        """Render the task's rows, as :meth:`render` would, and commit nothing: do they kill their worker?"""
        self._put_in_line(task, None)
        self._rendered()[0].attempt.close()

    def _put_in_line(self, task: Task, following: Task | None) -> None:
        if self._open and self._open[0].task != task:
            self._drop_all()
        if not self._open:
            self._since = time.monotonic()
        wanted = [task] if following is None else [task, following]
        for each in wanted[len(self._open) :]:
            self._open.append(self._opened(each))
            self._stream.add(self._open[-1].attempt)

    def _opened(self, task: Task) -> _OpenShard:
        shard, run = task.shard, self._work.run
        found = self._manifest.slice(shard.first_row, shard.row_count)
        places = [place for place in self._wanted(task) if not task.probe or place in task.probe]
        name = f"{shard_name(shard.index)}-{uuid.uuid4().hex}"
        writer = open_writer(self._work.storage, run.settings, name)
        rows = [found.rows[place] for place in places]
        quarantined = {found.rows[place].item_id: fault for place, fault in task.quarantined.items()}
        item_writer = ItemWriter(shard.index, run, self._thresholds, writer)
        attempt = ShardAttempt(rows, quarantined, self._reader, item_writer, self._progress)
        return _OpenShard(task, name, places, found.table.take(places), writer, attempt)

    def _rendered(self) -> tuple[_OpenShard, float]:
        """The first shard in line when all its items have results, and the seconds since those of the last had."""
        attempt = self._open[0].attempt
        try:
            self._stream.render(attempt.collect)
            is_over = attempt.collect(wait=True)
            assert is_over, "items were neither rendered nor failed"
            self._stream.remove(attempt)
        except BaseException:
            self._drop_all()
            raise
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        return self._open.popleft(), seconds

    def _committed(self, shard: _OpenShard, results: Sequence[ItemResult]) -> Marker:
        """Commit a shard, and meanwhile go on with the one behind it."""
        occupancy, self.dropped = self._occupancy(), ""
        with ThreadPoolExecutor(1, "commit") as thread:
            marker = thread.submit(self._commit, shard, results, occupancy)
            try:
                self._stream.render(marker.done)
            except Exception as error:  # What is wrong with another shard is raised when that is asked for.
                self.dropped = "".join(traceback.format_exception(error))
                self._drop_all()
        return marker.result()

    def _commit(self, shard: _OpenShard, results: Sequence[ItemResult], occupancy: float | None) -> Marker:
        task, storage = shard.task, self._work.storage
        render_seconds = sum(result.render_seconds or 0.0 for result in results)
        table = results_table(results, shard.rows)
        objects = shard.writer.finish(table)
        if task.generation:
            earlier = self._directory.marker(task.shard.index, task.generation - 1)
            table = _with_rows(self._directory.result_rows(earlier), table, shard.places)
            objects = (*earlier.objects, *objects)
            render_seconds += earlier.render_seconds

        metadata = io.BytesIO()
        pq.write_table(table, metadata, compression="zstd")
        key = f"metadata/{shard.name}.parquet"
        storage.write(key, metadata.getvalue())

        statuses = table.select(["status", "error_type", "item_id", "verdict", "faults"]).to_pylist()
        failed = [(row["error_type"] or "", row["item_id"]) for row in statuses if row["status"] == "failed"]
        marker = Marker(
            shard=task.shard.index,
            attempt=shard.name.rpartition("-")[2],
            items=len(table),
            failures=count_failures(failed),
            audio_seconds=sum(seconds or 0.0 for seconds in table["duration_s"].to_pylist()),
            render_seconds=render_seconds,
            metadata=stored_object(key, metadata.getvalue()),
            objects=objects,
            generation=task.generation,
            quality=count_quality((row["verdict"], row["faults"]) for row in statuses),
            occupancy=occupancy,
            batch_size=self._renderer.batch_size,
        )
        return self._directory.commit(marker)

    def _occupancy(self) -> float | None:
        """How full the batch was since the last shard was over; None if it made no step."""
        now = self._renderer.occupancy
        since, self._occupancy_before = now.since(self._occupancy_before), now
        return since.share if since.steps else None

    def _wanted(self, task: Task) -> list[int]:
        """Which rows of a shard a generation renders."""
        if task.generation == 0:
            return list(range(task.shard.row_count))
        earlier = self._directory.result_rows(self._directory.marker(task.shard.index, task.generation - 1))
        return [place for place, status in enumerate(earlier["status"].to_pylist()) if status == "failed"]

    def _drop_all(self) -> None:
        self._stream.clear()
        while self._open:
            self._open.popleft().attempt.close()


def _with_rows(table: pa.Table, rows: pa.Table, places: Sequence[int]) -> pa.Table:
    """The table with other rows in some places."""
    kept = sorted(set(range(len(table))) - set(places))
    # Where nothing is kept, the type of no places must be said.
    both = pa.concat_tables([table.take(pa.array(kept, pa.int64())), rows], promote_options="default")
    return both.take(np.argsort([*kept, *places]))
