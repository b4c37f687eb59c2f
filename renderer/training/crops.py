"""What a codec learns from: short crops of recordings."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from renderer.audio import FloatSamples
from renderer.errors import TrainingError
from renderer.training.randomness import random_at, shuffled


class RecordingSource(Protocol):
    """Recordings that are read at random, by several threads; a prepared corpus is one."""

    def audio(self, index: int, start: int = 0, samples: int | None = None) -> FloatSamples:
        """A part of a recording, mono float32."""
        ...


@dataclass(frozen=True)
class CropSettings:
    """``samples`` long; their level is changed at random by ``softest`` to ``loudest`` dB, and they never clip."""

    samples: int
    softest: float = -8.0
    loudest: float = 3.0


class Crops:
    """An endless series of crops; the one with a given number is always the same.

    ``chosen`` are the recordings that are drawn from, each as often as its length says; ``lengths`` has the samples of
    all. TrainingError if none is long enough.
    """

    def __init__(
        self, source: RecordingSource, lengths: Sequence[int], chosen: Sequence[int], settings: CropSettings, seed: int
    ) -> None:
        self.source, self.settings, self.seed = source, settings, seed
        # Places half a crop apart: (recording, first sample), each drawn once before any comes again.
        step = max(1, settings.samples // 2)
        self._places = [
            (index, begin) for index in chosen for begin in range(0, lengths[index] - settings.samples + 1, step)
        ]
        self._lengths = lengths
        if not self._places:
            raise TrainingError(f"of {len(chosen)} recordings none has the {settings.samples} samples of a crop")
        self._pool = ThreadPoolExecutor(max_workers=1)

    def __len__(self) -> int:
        """How many crops there are before places come again."""
        return len(self._places)

    def crop(self, number: int) -> FloatSamples:
        """Read a crop (samples,)."""
        settings = self.settings
        random = random_at(self.seed, "crop", number)
        index, begin = self._places[shuffled(number, len(self._places), self.seed, "crops")]
        last = self._lengths[index] - settings.samples
        begin = min(last, begin + int(random.integers(max(1, settings.samples // 2))))
        samples = self.source.audio(index, begin, settings.samples)
        gain = 10 ** (random.uniform(settings.softest, settings.loudest) / 20)
        peak = float(np.abs(samples).max(initial=0.0))
        return samples * np.float32(min(gain, 1 / peak if peak > 0 else gain))

    def ahead(self, numbers: Sequence[int]) -> "Future[torch.Tensor]":
        """Read crops in the background: (B, samples) float32."""
        return self._pool.submit(lambda: torch.from_numpy(np.stack([self.crop(number) for number in numbers])))
