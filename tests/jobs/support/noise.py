"""A renderer that costs nothing: it returns a part of the same noise for every request."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from jobs.shard.backend import ModelFacts
from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from renderer.prompt import Prompt
from renderer.quality.quality import Quality
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import OneByOne

SAMPLE_RATE = 32_000
SEGMENT_SECONDS = 12.0
"""Longer noise has joints, which are measured."""

_MEASURED = Quality(0, 0.2, 0.0, -26.0, 0.0, float("nan"), 1.0, 1.0)


@dataclass(frozen=True)
class NoiseBackend:
    """Loads a NoiseRenderer, of noise of ``longest`` seconds at most.

    With a ``rate`` it gives so many seconds of audio a second and no more, as a device would. If ``is_measured``
    already, nobody has to, which leaves what a run costs beside the audio.
    """

    longest: float = 10.0
    rate: float = float("inf")
    is_measured: bool = False

    def describe(self) -> ModelFacts:
        return ModelFacts("noise", "0123", ("plain",), "extend", "none", SAMPLE_RATE)

    def load(self, device: str) -> "NoiseRenderer":
        return NoiseRenderer(self)


class MeasuredRendering(Rendering):
    """A rendering whose measures are known."""

    def quality(self) -> Quality:
        return _MEASURED


class NoiseRenderer(OneByOne):
    """Returns a part of the same noise for every request, chosen by its seed."""

    def __init__(self, backend: NoiseBackend) -> None:
        super().__init__()
        self._backend = backend
        self._free_at = time.monotonic()

    @cached_property
    def _noise(self) -> FloatSamples:
        samples = int((self._backend.longest + 1) * SAMPLE_RATE)
        return np.random.default_rng(0).normal(0.0, 0.05, samples).astype(np.float32)

    def prompt(self, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, torch.zeros(150, 1, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        return self.prompt(prompt_id or audio.stem)

    def rendering(self, request: RenderRequest) -> Rendering:
        start, now = request.seed % SAMPLE_RATE, time.monotonic()
        # A device that had to wait has lost the time; one that is a little late makes up for it.
        self._free_at = max(self._free_at, now - 0.1) + request.duration / self._backend.rate
        time.sleep(max(0.0, self._free_at - now))
        kind = MeasuredRendering if self._backend.is_measured else Rendering
        joints = np.arange(SEGMENT_SECONDS, request.duration - 1.0, SEGMENT_SECONDS)
        return kind(
            item_id=request.item_id,
            samples=self._noise[start : start + round(request.duration * SAMPLE_RATE)],
            sample_rate=SAMPLE_RATE,
            duration=request.duration,
            notes=request.performance.notes,
            report=request.performance.report,
            segments=len(joints) + 1,
            seed=request.seed,
            prompt_id=request.prompt.prompt_id,
            joints=joints,
            crossfade=0.1,
        )
