"""A renderer without a model: every sample is noise of the request's seed, and some items misbehave by name."""

import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from jobs.shard.backend import Backend, CorpusRenderer, ModelFacts
from renderer.decoding.sampling import Sampling
from renderer.decoding.schedule import Occupancy
from renderer.errors import PromptError
from renderer.midi.notes import Notes
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import SegmentCodes

SAMPLE_RATE = 8000
SLICES = 5


@dataclass(frozen=True)
class DummyBackend:
    """Loads a DummyRenderer; ``seconds_per_item`` makes it slow, ``straggler_seconds`` items that straggle.

    ``dies_loading`` is a file to which every worker that dies while loading adds a letter.
    """

    seconds_per_item: float = 0.0
    model_hash: str = "0123"
    fails_to_load: str = ""
    dies_loading: str = ""
    straggler_seconds: float = 60.0

    def describe(self) -> ModelFacts:
        return ModelFacts("dummy", self.model_hash, ("plain", "soft"), "extend", "none", SAMPLE_RATE)

    def load(self, device: str) -> "DummyRenderer":
        if self.fails_to_load:
            raise PromptError(self.fails_to_load)
        if self.dies_loading:
            with Path(self.dies_loading).open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return DummyRenderer(self.seconds_per_item, self.straggler_seconds)


@dataclass(frozen=True)
class Registered:
    """A backend whose workers, once they have loaded, leave a file in a folder that is named like their process."""

    backend: Backend
    pids: str

    def describe(self) -> ModelFacts:
        return self.backend.describe()

    def load(self, device: str) -> CorpusRenderer:
        renderer = self.backend.load(device)
        (Path(self.pids) / str(os.getpid())).touch()
        return renderer


@dataclass(frozen=True)
class NodesOwn:
    """A backend that on some nodes, by their environment, is of another model, or warns when it loads."""

    backend: Backend

    def describe(self) -> ModelFacts:
        facts = self.backend.describe()
        return replace(facts, model_hash=os.environ.get("NODE_MODEL_HASH", facts.model_hash))

    def load(self, device: str) -> CorpusRenderer:
        if text := os.environ.get("NODE_WARNING"):
            for _ in range(3):
                warnings.warn(text, stacklevel=1)
        return self.backend.load(device)


class DummyRenderer:
    """Renders two requests side by side and gives the later one first, as continuous batching may."""

    batch_plan = None
    batch_size = None

    def __init__(self, seconds_per_item: float, straggler_seconds: float = 60.0) -> None:
        self._seconds_per_item = seconds_per_item
        self._straggler_seconds = straggler_seconds
        self.occupancy = Occupancy()
        self._waiting: deque[RenderRequest] = deque()
        self._slices = 0
        self._rendered: list[Rendering] = []

    def prompt(self, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, torch.zeros(150, 1, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        if not audio.is_file():
            raise PromptError(f"{audio}: there is no such file")
        return self.prompt(prompt_id or audio.stem)

    @property
    def room(self) -> int:
        return 2 - len(self._waiting) - len(self._rendered)

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._rendered

    def add(self, request: RenderRequest) -> None:
        self._waiting.append(request)

    def clear(self) -> None:
        self._waiting.clear()
        self._rendered.clear()
        self._slices = 0

    def progress(self) -> Mapping[str, float]:
        done = {request.item_id: 0.0 for request in self._waiting}
        if self._waiting:
            first = self._waiting[0]
            done[first.item_id] = first.duration * self._slices / SLICES
        return done | {rendering.item_id: rendering.duration for rendering in self._rendered}

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        """A part of an item."""
        if self._waiting:
            if not self._slices:
                self._misbehave(self._waiting[0].item_id)
            straggles = "straggles" in self._waiting[0].item_id
            time.sleep((self._straggler_seconds if straggles else self._seconds_per_item) / SLICES)
            self._slices += 1
            if self._slices < SLICES:
                return []
            self._slices = 0
            self._rendered.append(self._rendering(self._waiting.popleft()))
            self.occupancy = self.occupancy.after(1, 1)
        if self._waiting and len(self._rendered) < 2:
            return []
        finished, self._rendered = self._rendered[::-1], []
        return finished

    def _misbehave(self, item_id: str) -> None:
        if "raises" in item_id:
            raise RuntimeError(f"cannot render {item_id}")
        if "kills" in item_id:
            os.kill(os.getpid(), signal.SIGKILL)
        if "sleeps" in item_id:
            time.sleep(300)

    def _rendering(self, request: RenderRequest) -> Rendering:
        seconds = request.duration
        noise = np.random.default_rng(request.seed & (2**64 - 1)).uniform(-0.5, 0.5, round(seconds * SAMPLE_RATE))
        samples = noise.astype(np.float32)
        if "broken" in request.item_id:
            samples[7] = np.nan
        return Rendering(
            item_id=request.item_id,
            samples=samples,
            sample_rate=SAMPLE_RATE,
            duration=seconds,
            notes=request.performance.notes,
            report=request.performance.report,
            segments=1,
            seed=request.seed,
            prompt_id=request.prompt.prompt_id,
            codes=np.full((2, 5), request.seed % 1024, np.uint16),
            segment_codes=() if "codeless" in request.item_id else (_codes(request.seed),),
        )


def _codes(seed: int) -> SegmentCodes:
    return SegmentCodes(0, 0, 5, np.full((5, 2), seed % 1024, np.uint16))
