"""A renderer without a model: every sample is noise of the request's seed, and some items misbehave by name."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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

SAMPLE_RATE = 8000
SLICES = 5


@dataclass(frozen=True)
class DummyBackend:
    """Loads a DummyRenderer; ``seconds_per_item`` makes it slow.

    ``dies_loading`` is a file to which every worker that dies while loading adds a letter.
    """

    seconds_per_item: float = 0.0
    model_hash: str = "0123"
    fails_to_load: str = ""
    dies_loading: str = ""

    def describe(self) -> ModelFacts:
        return ModelFacts("dummy", self.model_hash, ("plain", "soft"), "extend", "none", SAMPLE_RATE)

    def load(self, device: str) -> "DummyRenderer":
        if self.fails_to_load:
            raise PromptError(self.fails_to_load)
        if self.dies_loading:
            with Path(self.dies_loading).open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return DummyRenderer(self.seconds_per_item)


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


class DummyRenderer:
    """Renders two requests side by side and yields the later one first, as continuous batching may."""

    def __init__(self, seconds_per_item: float) -> None:
        self._seconds_per_item = seconds_per_item
        self.occupancy = Occupancy()

    def prompt(self, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, torch.zeros(150, 1, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        if not audio.is_file():
            raise PromptError(f"{audio}: there is no such file")
        return self.prompt(prompt_id or audio.stem)

    def steps(
        self,
        requests: Iterable[RenderRequest],
        *,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        progress: Callable[[str, float], None] | None = None,
    ) -> Iterator[list[Rendering]]:
        waiting: list[Rendering] = []
        for request in requests:
            waiting.append(self._rendering(request, tail, progress))
            self.occupancy = self.occupancy.after(1, 1)
            if len(waiting) == 2:
                yield waiting[::-1]
                waiting = []
            else:
                yield []
        yield waiting

    def _rendering(
        self, request: RenderRequest, tail: float, progress: Callable[[str, float], None] | None
    ) -> Rendering:
        if "raises" in request.item_id:
            raise RuntimeError(f"cannot render {request.item_id}")
        if "kills" in request.item_id:
            os.kill(os.getpid(), signal.SIGKILL)
        if "sleeps" in request.item_id:
            time.sleep(300)
        seconds = request.performance.notes.end + tail
        for _ in range(SLICES):
            time.sleep(self._seconds_per_item / SLICES)
            if progress is not None:
                progress(request.item_id, seconds / SLICES)
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
        )
