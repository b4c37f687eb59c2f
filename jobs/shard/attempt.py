"""One try at one shard: every item becomes a result, and a bad one does not stop the others."""

import math
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from jobs.errors import JobError, StorageError
from jobs.output.writers import Writer
from jobs.shard.host_pool import Handled, HostPool
from jobs.shard.items import ItemReader
from jobs.shard.progress import Progress
from jobs.shard.read_ahead import ReadAhead
from jobs.shard.task import Fault
from renderer.audio.audio_file import FloatSamples
from renderer.audio.loudness import Level
from renderer.errors import RendererError
from renderer.quality.quality import QualityThresholds
from renderer.rendering import Rendering, RenderRequest
from schemas.manifest import ManifestRow
from schemas.results import ItemResult, note_array
from schemas.run import Run, Shard

NO_ITEMS_FAULT = (StorageError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
"""What stops a shard rather than an item: the machine is at fault."""

MESSAGE_CHARACTERS = 1000


class ShardAttempt:
    """What became of each item of a shard so far.

    Who renders asks for the items' ``requests``, and gives back a rendering or an error for each; ``quarantined`` items
    fail untried. What is done with a rendering (:meth:`_written`) happens in threads beside, and changes nothing here.
    """

    def __init__(
        self,
        shard: Shard,
        rows: Sequence[ManifestRow],
        quarantined: Mapping[str, Fault],
        run: Run,
        items: ItemReader,
        writer: Writer,
        progress: Progress,
    ) -> None:
        self._shard = shard
        self._rows = rows
        self._run = run
        self._items = items
        self._writer = writer
        self._thresholds = QualityThresholds(**run.settings.thresholds or {})
        self._level = Level(run.settings.loudness, run.settings.peak)
        self._results: dict[str, ItemResult] = {}
        self._progress = progress
        self._pool = HostPool(self._written)
        for row in rows:
            if fault := quarantined.get(row.item_id):
                self._failed(row.item_id, items.seed(row), fault.error_type, fault.message)
        self._reader = ReadAhead(items.performance, [row for row in rows if row.item_id not in quarantined])

    @property
    def is_over(self) -> bool:
        """Whether every item has its result."""
        return len(self._results) == len(self._rows)

    def requests(self) -> Iterator[RenderRequest]:
        """What to render, in the order of the rows; a row for which there is no request fails."""
        for row, performance in self._reader:
            try:
                request = self._items.request(row, performance.result())
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self.fail(row.item_id, self._items.seed(row), error)
            else:
                self._progress.began(self._shard.index, request)
                yield request

    def add(self, rendering: Rendering) -> None:
        """Have a rendering written, as soon as there is room for it."""
        self._keep(self._pool.add(rendering))

    def fail(self, item_id: str, seed: int, error: Exception) -> None:
        """Let an item fail, for a reason that was foreseen, or else with where it came from."""
        message = str(error)
        if not isinstance(error, RendererError | JobError):
            place = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{message} (in {place.name}, {Path(place.filename).name} line {place.lineno})"
        self._failed(item_id, seed, type(error).__name__, message)

    def keep(self, wait: bool) -> None:
        """Keep the results of what is written by now; or ``wait`` for all that was added."""
        self._keep(self._pool.rest() if wait else self._pool.done())

    def results(self, seconds: float) -> list[ItemResult]:
        """One result for each row, in their order; they share the ``seconds`` that all of them took."""
        samples = sum(result.samples or 0 for result in self._results.values())
        return [
            replace(result, render_seconds=seconds * result.samples / samples) if result.samples else result
            for result in (self._results[row.item_id] for row in self._rows)
        ]

    def close(self) -> None:
        """Drop what is under way."""
        self._reader.close()
        self._pool.close()

    def _keep(self, handled: Iterable[Handled]) -> None:
        """Keep the results of items that are written, or the reasons why they are not."""
        for item in handled:
            try:
                self._set(item.result.result())
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self.fail(item.item_id, item.seed, error)

    def _written(self, rendering: Rendering) -> ItemResult:
        """Bring a rendering to its rate and level, write it, and measure it."""
        original = rendering
        rendering = rendering.resampled(self._run.settings.sample_rate).levelled(self._level)
        written = self._writer.write(rendering)
        samples, notes = rendering.samples, rendering.notes
        rms = _root_mean_square(samples)
        # What is written decides how loud it is and what is clipped; what the model gave, how it plays.
        quality = replace(
            original.quality(),
            length_error=abs(len(samples) - round(rendering.duration * rendering.sample_rate)),
            peak=float(max(samples.max(initial=0.0), -samples.min(initial=0.0))),
            rms_dbfs=20 * math.log10(rms) if rms else -math.inf,
            clipped=written.clipped_samples / len(samples),
        )
        faults = self._thresholds.faults(quality)
        return ItemResult(
            item_id=rendering.item_id,
            shard=self._shard.index,
            status="ok",
            seed=rendering.seed,
            model_id=self._run.model_id,
            audio_path=written.audio_path,
            audio_bytes=written.audio_bytes,
            audio_sha256=written.audio_sha256,
            midi_path=written.midi_path,
            codes_path=written.codes_path,
            sample_rate=rendering.sample_rate,
            samples=len(samples),
            duration_s=len(samples) / rendering.sample_rate,
            peak=quality.peak,
            rms_dbfs=_defined(quality.rms_dbfs),
            clipped_samples=written.clipped_samples,
            gain_db=rendering.gain.db,
            gain_reason=rendering.gain.reason,
            prompt_id=rendering.prompt_id,
            segments=rendering.segments,
            segments_retried=rendering.segments_retried,
            verdict="poor" if faults else "good",
            faults=faults,
            quality_score=quality.score,
            notes_found=_defined(quality.notes_found),
            attacks_explained=_defined(quality.attacks_explained),
            silence_s=quality.silence,
            joint_prominence=_defined(quality.joint_prominence),
            length_error=quality.length_error,
            note_report=asdict(rendering.report),
            notes=note_array(notes.onset, notes.offset, notes.pitch, notes.velocity),
        )

    def _failed(self, item_id: str, seed: int, error_type: str, message: str) -> None:
        self._set(
            ItemResult(
                item_id=item_id,
                shard=self._shard.index,
                status="failed",
                seed=seed,
                model_id=self._run.model_id,
                error_type=error_type,
                error_message=message[:MESSAGE_CHARACTERS],
            )
        )

    def _set(self, result: ItemResult) -> None:
        self._results[result.item_id] = result
        self._progress.ended(self._shard.index, result.item_id, result.status == "failed")


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _root_mean_square(samples: FloatSamples) -> float:
    # In blocks, because an hour of squares in double precision would be a gigabyte.
    blocks = np.array_split(samples, len(samples) // 65_536 + 1)
    energy = math.fsum(float(np.dot(block, block)) for block in blocks)
    return math.sqrt(energy / max(len(samples), 1))
