"""A renderer that costs nothing: it returns a part of the same noise for every request."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from jobs.shard.backend import ModelFacts
from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import OneByOne

SAMPLE_RATE = 32_000
LONGEST_SECONDS = 10


@dataclass(frozen=True)
class NoiseBackend:
    """Loads a NoiseRenderer."""

    def describe(self) -> ModelFacts:
        return ModelFacts("noise", "0123", ("plain",), "extend", "none", SAMPLE_RATE)

    def load(self, device: str) -> "NoiseRenderer":
        return NoiseRenderer()


class NoiseRenderer(OneByOne):
    """Returns a part of the same noise for every request, chosen by its seed."""

    @cached_property
    def _noise(self) -> FloatSamples:
        return np.random.default_rng(0).normal(0.0, 0.05, (LONGEST_SECONDS + 1) * SAMPLE_RATE).astype(np.float32)

    def prompt(self, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, torch.zeros(150, 1, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        return self.prompt(prompt_id or audio.stem)

    def rendering(self, request: RenderRequest) -> Rendering:
        start = request.seed % SAMPLE_RATE
        return Rendering(
            item_id=request.item_id,
            samples=self._noise[start : start + round(request.duration * SAMPLE_RATE)],
            sample_rate=SAMPLE_RATE,
            duration=request.duration,
            notes=request.performance.notes,
            report=request.performance.report,
            segments=1,
            seed=request.seed,
            prompt_id=request.prompt.prompt_id,
        )
