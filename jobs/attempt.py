"""One try at one shard: every item becomes a result, and a bad one does not stop the others."""

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from jobs.backend import CorpusRenderer
from jobs.errors import JobError, StorageError
from jobs.host_pool import Handled, HostPool
from jobs.items import ItemReader
from jobs.read_ahead import read_ahead
from jobs.retries import Fault
from jobs.writers import Writer
from renderer.audio import FloatSamples
from renderer.errors import RendererError
from renderer.loudness import Level
from renderer.quality import QualityThresholds
from renderer.render import Rendering, RenderRequest
from renderer.sampling import Sampling
from schemas.manifest import ManifestRow
from schemas.results import ItemResult, note_array
from schemas.run import Run, Shard

NO_ITEMS_FAULT = (StorageError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
"""What stops a shard rather than an item: the machine is at fault."""

MESSAGE_CHARACTERS = 1000
SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class ShardProgress:
    """How far a shard is: items (with fractions for those under way), seconds of audio, failed items."""

    shard: int
    items: float
    audio_seconds: float
    failed: int


Report = Callable[[ShardProgress], None]


class ShardAttempt:
    """What became of each item of a shard so far.

    The calling thread renders and keeps the results; what is done with a rendering (:meth:`_written`) happens in
    threads beside it, and changes nothing here.
    """

    def __init__(self, shard: Shard, run: Run, items: ItemReader, writer: Writer, report: Report) -> None:
        self._shard = shard
        self._run = run
        self._items = items
        self._writer = writer
        self._thresholds = QualityThresholds(**run.settings.thresholds or {})
        self._level = Level(run.settings.loudness, run.settings.peak)
        self._results: dict[str, ItemResult] = {}
        self._progress = _Progress(shard.index, run.settings.tail, self._results, report)

    def quarantine(self, row: ManifestRow, fault: Fault) -> None:
        """Let a row fail without trying it."""
        self._failed(row.item_id, self._items.seed(row), fault.error_type, fault.message)

    def render(self, renderer: CorpusRenderer, rows: Sequence[ManifestRow]) -> list[ItemResult]:
        """Render and write all rows; one result for each, in their order."""
        began = time.monotonic()
        if left := [row for row in rows if row.item_id not in self._results]:
            with HostPool(self._written) as pool:
                self._render(renderer, left, pool)
        seconds = time.monotonic() - began
        samples = sum(result.samples or 0 for result in self._results.values())
        return [
            replace(result, render_seconds=seconds * result.samples / samples) if result.samples else result
            for result in (self._results[row.item_id] for row in rows)
        ]

    def _render(self, renderer: CorpusRenderer, rows: Sequence[ManifestRow], pool: HostPool) -> None:
        """Render rows side by side, and if that fails, each alone: so the one at fault is found."""
        settings = self._run.settings
        sampling = Sampling(settings.temperature, settings.top_k, settings.top_p)
        try:
            for rendering in renderer.render(
                self._requests(rows), sampling=sampling, tail=settings.tail, progress=self._progress.generated
            ):
                self._keep(pool.add(rendering))
            self._keep(pool.rest())
        except NO_ITEMS_FAULT:
            raise
        except Exception as error:
            self._keep(pool.rest())
            missing = [row for row in rows if row.item_id not in self._results]
            if len(rows) == 1:
                self._fail(rows[0].item_id, self._items.seed(rows[0]), error)
            else:
                self._progress.abandoned()
                for row in missing:
                    self._render(renderer, [row], pool)

    def _requests(self, rows: Sequence[ManifestRow]) -> Iterator[RenderRequest]:
        for row, performance in read_ahead(self._items.performance, rows):
            try:
                request = self._items.request(row, performance.result())
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self._fail(row.item_id, self._items.seed(row), error)
            else:
                self._progress.began(request)
                yield request

    def _keep(self, handled: Iterable[Handled]) -> None:
        """Keep the results of items that are written, or the reasons why they are not."""
        for item in handled:
            try:
                self._results[item.item_id] = item.result.result()
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self._fail(item.item_id, item.seed, error)
            self._progress.ended(item.item_id)

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

    def _fail(self, item_id: str, seed: int, error: Exception) -> None:
        message = str(error)
        if not isinstance(error, RendererError | JobError):  # Not foreseen: say where it came from.
            place = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{message} (in {place.name}, {Path(place.filename).name} line {place.lineno})"
        self._failed(item_id, seed, type(error).__name__, message)

    def _failed(self, item_id: str, seed: int, error_type: str, message: str) -> None:
        self._results[item_id] = ItemResult(
            item_id=item_id,
            shard=self._shard.index,
            status="failed",
            seed=seed,
            model_id=self._run.model_id,
            error_type=error_type,
            error_message=message[:MESSAGE_CHARACTERS],
        )


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _root_mean_square(samples: FloatSamples) -> float:
    # In blocks, because an hour of squares in double precision would be a gigabyte.
    blocks = np.array_split(samples, len(samples) // 65_536 + 1)
    energy = math.fsum(float(np.dot(block, block)) for block in blocks)
    return math.sqrt(energy / max(len(samples), 1))


class _Progress:
    """Adds up what the renderer tells, and reports it now and then."""

    def __init__(self, shard: int, tail: float, results: Mapping[str, ItemResult], report: Report) -> None:
        self._shard, self._tail, self._results, self._report = shard, tail, results, report
        self._under_way: dict[str, float] = {}
        self._generated_seconds = 0.0
        self._done_seconds = 0.0
        self._items = 0.0
        self._last_report = time.monotonic()

    def began(self, request: RenderRequest) -> None:
        self._under_way[request.item_id] = request.performance.notes.end + self._tail

    def generated(self, seconds: float) -> None:
        self._generated_seconds += seconds
        self._tell()

    def ended(self, item_id: str) -> None:
        seconds = self._under_way.pop(item_id, 0.0)
        self._done_seconds += seconds
        self._generated_seconds = max(0.0, self._generated_seconds - seconds)
        self._tell()

    def abandoned(self) -> None:
        """What was under way begins anew."""
        self._under_way.clear()
        self._generated_seconds = 0.0

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._last_report < SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = now
        expected = sum(self._under_way.values())
        # More is generated than asked for: segments overlap.
        generated = min(self._generated_seconds, expected)
        share = generated / expected if expected else 0.0
        self._items = max(self._items, len(self._results) + share * len(self._under_way))
        failed = sum(result.status == "failed" for result in self._results.values())
        self._report(ShardProgress(self._shard, self._items, self._done_seconds + generated, failed))
