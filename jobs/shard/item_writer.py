"""What becomes of a finished rendering: audio in its place, and a row with all that is known of it."""

import math
from dataclasses import asdict, replace
from typing import Any

from jobs.option import common_values
from jobs.output.writers import Writer
from renderer.audio.loudness import Level, largest, root_mean_square
from renderer.quality.quality import QualityThresholds
from renderer.rendering import Rendering
from schemas.results import ItemResult, note_array
from schemas.run import Run

MESSAGE_CHARACTERS = 1000


class ItemWriter:
    """Makes the result rows of a task's items; may be called by several threads.

    ``task`` is its key: the shard, and where in it the task begins. What is written is brought to ``level``, and judged
    by ``thresholds``.
    """

    def __init__(
        self, task: tuple[int, int], run: Run, level: Level, thresholds: QualityThresholds, writer: Writer
    ) -> None:
        self.task = task
        self._model_id = run.model_id
        self._sample_rate = run.settings.sample_rate
        self._level, self._thresholds = level, thresholds
        self._writer = writer

    def write(self, original: Rendering) -> ItemResult:
        """Bring a rendering to its rate and level, write it, and measure it."""
        rendering = original.resampled(self._sample_rate).levelled(self._level)
        written = self._writer.write(rendering)
        samples, notes = rendering.samples, rendering.notes
        rms = root_mean_square(samples)
        # What is written decides how loud it is and what is clipped; what the model gave, how it plays.
        quality = replace(
            original.quality(),
            length_error=abs(len(samples) - round(rendering.duration * rendering.sample_rate)),
            peak=largest(samples),
            rms_dbfs=20 * math.log10(rms) if rms else -math.inf,
            clipped=written.clipped_samples / len(samples),
        )
        faults = self._thresholds.faults(quality)
        measures: dict[str, Any] = {name: _defined(value) for name, value in common_values(ItemResult, quality).items()}
        return ItemResult(
            item_id=rendering.item_id,
            shard=self.task[0],
            status="ok",
            seed=rendering.seed,
            model_id=self._model_id,
            sample_rate=rendering.sample_rate,
            samples=len(samples),
            duration_s=len(samples) / rendering.sample_rate,
            gain_db=rendering.gain.db,
            gain_reason=rendering.gain.reason,
            equalizer_db=rendering.equalizer.gains_db or None,
            prompt_id=rendering.prompt_id,
            segments=rendering.segments,
            segments_retried=rendering.segments_retried,
            verdict="poor" if faults else "good",
            faults=faults,
            quality_score=quality.score,
            silence_s=quality.silence,
            **common_values(ItemResult, written),
            **measures,
            note_report=asdict(rendering.report),
            notes=note_array(notes.onset, notes.offset, notes.pitch, notes.velocity),
        )

    def failed(self, item_id: str, seed: int, error_type: str, message: str) -> ItemResult:
        """The row of an item of which there is no audio."""
        return ItemResult(
            item_id=item_id,
            shard=self.task[0],
            status="failed",
            seed=seed,
            model_id=self._model_id,
            error_type=error_type,
            error_message=message[:MESSAGE_CHARACTERS],
        )


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
