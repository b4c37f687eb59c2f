"""The worker's side of a run: a renderer that is loaded once and renders one shard after the other."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from jobs.attempt import Report, ShardAttempt, ShardProgress
from jobs.backend import Backend
from jobs.commit import RunDirectory, shard_name
from jobs.items import ItemReader
from jobs.storage import Storage
from jobs.writers import FilesWriter, stored_object
from schemas.manifest import Manifest
from schemas.marker import Marker, count_failures
from schemas.results import results_table
from schemas.run import Run, Shard


@dataclass(frozen=True, eq=False)
class ShardWork:
    """All that an actor needs to render any shard of a run."""

    run: Run
    manifest: Path
    bank: Path | None
    storage: Storage
    backend: Backend


class ShardRenderer:
    """Renders shards: reads their rows, renders them, writes audio, notes and metadata, and commits."""

    def __init__(self, work: ShardWork) -> None:
        self._work = work
        self._manifest = Manifest.open(work.manifest)
        self._directory = RunDirectory(work.storage)
        self._renderer = work.backend.load(work.run.settings.device)
        self._items = ItemReader(work.run.settings, work.manifest, work.bank, self._renderer)

    def render(self, shard: Shard, report: Report) -> Marker:
        """Render one shard and return the marker that makes it final. A bad item is a failed row, no more."""
        storage = self._work.storage
        rows = self._manifest.slice(shard.first_row, shard.row_count)
        writer = FilesWriter(storage, self._work.run.settings.format)
        attempt = ShardAttempt(shard, self._work.run, self._items, writer, report)
        results = attempt.render(self._renderer, rows.rows)

        metadata = io.BytesIO()
        pq.write_table(results_table(results, rows.table), metadata, compression="zstd")
        key = f"metadata/{shard_name(shard.index)}-{attempt.attempt_id}.parquet"
        storage.write(key, metadata.getvalue())

        failed = [(result.error_type or "", result.item_id) for result in results if result.status == "failed"]
        marker = Marker(
            shard=shard.index,
            attempt=attempt.attempt_id,
            items=len(results),
            failures=count_failures(failed),
            audio_seconds=sum(result.duration_s or 0.0 for result in results),
            render_seconds=sum(result.render_seconds or 0.0 for result in results),
            metadata=stored_object(key, metadata.getvalue()),
            objects=writer.finish(),
        )
        return self._directory.commit(marker)


class RenderActor:
    """A :class:`ShardRenderer` as a Ray actor. Ray starts it anew when it dies, and then it is empty again."""

    def __init__(self) -> None:
        self._shards: ShardRenderer | None = None

    def load(self, work: ShardWork) -> None:
        """Load the model: a call of its own, so that its errors arrive as they are."""
        torch.set_num_threads(work.run.threads)
        self._shards = ShardRenderer(work)

    def render_shard(self, work: ShardWork, shard: Shard, board: Any) -> Marker:
        """Render, write and commit one shard; ``board`` is the handle of a :class:`ProgressBoard`."""
        if self._shards is None:
            self.load(work)
        assert self._shards is not None
        return self._shards.render(shard, lambda progress: board.report.remote(progress))


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
