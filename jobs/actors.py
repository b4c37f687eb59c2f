"""The worker's side of a run: a renderer that is loaded once and renders one shard after the other."""

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from jobs.attempt import Report, ShardAttempt, ShardProgress
from jobs.backend import Backend
from jobs.commit import RunDirectory, shard_name
from jobs.inputs import Inputs
from jobs.items import ItemReader
from jobs.layouts import open_writer
from jobs.pinned_inputs import PinnedManifest, check_unchanged
from jobs.retries import Fault, Task
from jobs.storage import Storage
from jobs.writers import stored_object
from schemas.marker import Marker, count_failures, count_quality
from schemas.results import results_table
from schemas.run import Run, Shard


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
    """Renders shards: reads their rows, renders them, writes audio, notes and metadata, and commits."""

    def __init__(self, work: ShardWork) -> None:
        self._work = work
        self._manifest = PinnedManifest(work.manifest, work.run.manifest_sha256, work.inputs)
        if work.bank is not None:
            check_unchanged(work.bank, work.inputs.local(work.bank), work.run.prompts_sha256)
        self._directory = RunDirectory(work.storage)
        self._renderer = work.backend.load(work.run.settings.device)
        self._items = ItemReader(work.run.settings, work.manifest, work.bank, work.inputs, self._renderer)

    @property
    def plan(self) -> str:
        """How many items are rendered side by side, and what they need; empty for a renderer without batches."""
        return str(getattr(self._renderer, "batch_plan", ""))

    def render(
        self,
        shard: Shard,
        report: Report,
        quarantined: Mapping[int, Fault] = MappingProxyType({}),
        generation: int = 0,
    ) -> Marker:
        """Render one shard and return the marker that makes it final. A bad item is a failed row, no more.

        ``quarantined`` rows of the shard fail untried. A ``generation`` above 0 renders what failed in the one
        before and keeps the rest.
        """
        storage = self._work.storage
        rows = self._manifest.slice(shard.first_row, shard.row_count)
        attempt_id = uuid.uuid4().hex
        name = f"{shard_name(shard.index)}-{attempt_id}"
        writer = open_writer(storage, self._work.run.settings, name)
        attempt = ShardAttempt(shard, self._work.run, self._items, writer, report)
        wanted = self._wanted(shard, generation)
        for place in set(wanted) & set(quarantined):
            attempt.quarantine(rows.rows[place], quarantined[place])
        results = attempt.render(self._renderer, [rows.rows[place] for place in wanted])
        render_seconds = sum(result.render_seconds or 0.0 for result in results)
        table = results_table(results, rows.table.take(wanted))
        objects = writer.finish(table)
        if generation:
            earlier = self._directory.marker(shard.index, generation - 1)
            table = _with_rows(self._directory.result_rows(earlier), table, wanted)
            objects = (*earlier.objects, *objects)
            render_seconds += earlier.render_seconds

        metadata = io.BytesIO()
        pq.write_table(table, metadata, compression="zstd")
        key = f"metadata/{name}.parquet"
        storage.write(key, metadata.getvalue())

        statuses = table.select(["status", "error_type", "item_id", "verdict", "faults"]).to_pylist()
        failed = [(row["error_type"] or "", row["item_id"]) for row in statuses if row["status"] == "failed"]
        marker = Marker(
            shard=shard.index,
            attempt=attempt_id,
            items=len(table),
            failures=count_failures(failed),
            audio_seconds=sum(seconds or 0.0 for seconds in table["duration_s"].to_pylist()),
            render_seconds=render_seconds,
            metadata=stored_object(key, metadata.getvalue()),
            objects=objects,
            generation=generation,
            quality=count_quality((row["verdict"], row["faults"]) for row in statuses),
            occupancy=getattr(self._renderer, "occupancy", None),  # Of those that decode in batches.
            batch_size=getattr(self._renderer, "batch_size", None),
        )
        return self._directory.commit(marker)

    def probe(self, shard: Shard, places: Sequence[int], report: Report, generation: int = 0) -> None:
        """Render some rows of a shard, as :meth:`render` would, and commit nothing: do they kill their worker?"""
        rows = self._manifest.slice(shard.first_row, shard.row_count)
        wanted = set(self._wanted(shard, generation))
        writer = open_writer(self._work.storage, self._work.run.settings, f"{shard_name(shard.index)}-probe")
        attempt = ShardAttempt(shard, self._work.run, self._items, writer, report)
        attempt.render(self._renderer, [rows.rows[place] for place in places if place in wanted])

    def _wanted(self, shard: Shard, generation: int) -> list[int]:
        """Which rows of a shard a generation renders."""
        if generation == 0:
            return list(range(shard.row_count))
        earlier = self._directory.result_rows(self._directory.marker(shard.index, generation - 1))
        return [place for place, status in enumerate(earlier["status"].to_pylist()) if status == "failed"]


def _with_rows(table: pa.Table, rows: pa.Table, places: Sequence[int]) -> pa.Table:
    """The table with other rows in some places."""
    kept = sorted(set(range(len(table))) - set(places))
    both = pa.concat_tables([table.take(kept), rows], promote_options="default")
    return both.take(np.argsort([*kept, *places]))


class RenderActor:
    """A :class:`ShardRenderer` as a Ray actor. Ray starts it anew when it dies, and then it is empty again."""

    def __init__(self) -> None:
        self._shards: ShardRenderer | None = None

    def ready(self) -> None:
        """Do nothing: a call that comes back as soon as there is an actor, and may be repeated."""

    def load(self, work: ShardWork) -> str:
        """Load the model, in a call of its own, so that its errors arrive as they are; see ``ShardRenderer.plan``."""
        torch.set_num_threads(work.run.threads)
        self._shards = ShardRenderer(work)
        return self._shards.plan

    def render_shard(self, work: ShardWork, task: Task, board: Any) -> Marker | None:
        """Render, write and commit one shard, or try a part of one; ``board`` is a :class:`ProgressBoard`'s handle.

        Returns the marker without its objects, which a driver has no need of; None if nothing was committed.
        """
        if self._shards is None:
            self.load(work)
        assert self._shards is not None

        def report(progress: ShardProgress) -> None:
            board.report.remote(progress)

        if task.probe:
            self._shards.probe(task.shard, task.probe, report, task.generation)
            return None
        marker = self._shards.render(task.shard, report, task.quarantined, task.generation)
        return replace(marker, objects=())


class ProgressBoard:
    """Where actors say how far they are, as a Ray actor of its own.

    So progress flows while a call is under way, yet the renderer keeps its worker's main thread, to which
    compiled code and CUDA graphs are bound; and a worker that dies takes nobody's progress with it.
    """

    def __init__(self) -> None:
        self._latest: dict[int, ShardProgress] = {}

    def report(self, progress: ShardProgress) -> None:
        """Keep a shard's latest progress."""
        self._latest[progress.shard] = progress

    def read(self) -> tuple[ShardProgress, ...]:
        """The latest progress of every shard that reported since the last call."""
        latest = tuple(self._latest.values())
        self._latest.clear()
        return latest
