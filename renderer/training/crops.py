"""What a codec learns from: short crops of recordings."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from renderer.audio import FloatSamples
from renderer.errors import TrainingError
from renderer.notes import Notes
from renderer.training.note_loss import piano_roll
from renderer.training.randomness import random_at, shuffled


class RecordingSource(Protocol):
    """Recordings that are read at random, by several threads; a prepared corpus is one."""

    def audio(self, index: int, start: int = 0, samples: int | None = None) -> FloatSamples:
        """A part of a recording, mono float32."""
        ...

    def notes(self, index: int) -> Notes:
        """What sounds in a whole recording."""
        ...


@dataclass(frozen=True)
class CropSettings:
    """``frames`` of ``frame_samples`` long; their level is changed at random by ``softest`` to ``loudest`` dB.

    They never clip.
    """

    frames: int
    frame_samples: int
    sample_rate: int
    softest: float = -8.0
    loudest: float = 3.0

    @property
    def samples(self) -> int:
        """The length."""
        return self.frames * self.frame_samples


@dataclass(frozen=True, eq=False)
class Crop:
    """Mono float32 audio (samples,), and the keys that are struck and sound in it (frames, 2, KEYS)."""

    audio: FloatSamples
    roll: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Crops side by side: audio (B, samples) and rolls (B, frames, 2, KEYS), float32."""

    audio: torch.Tensor
    rolls: torch.Tensor


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

    def crop(self, number: int) -> Crop:
        """Read a crop."""
        settings = self.settings
        random = random_at(self.seed, "crop", number)
        index, begin = self._places[shuffled(number, len(self._places), self.seed, "crops")]
        last = self._lengths[index] - settings.samples
        begin = min(last, begin + int(random.integers(max(1, settings.samples // 2))))
        samples = self.source.audio(index, begin, settings.samples)
        gain = 10 ** (random.uniform(settings.softest, settings.loudest) / 20)
        peak = float(np.abs(samples).max(initial=0.0))
        start, frame_rate = begin / settings.sample_rate, settings.sample_rate / settings.frame_samples
        roll = piano_roll(self.source.notes(index), start, settings.frames, frame_rate)
        return Crop(samples * np.float32(min(gain, 1 / peak if peak > 0 else gain)), roll)

    def ahead(self, numbers: Sequence[int]) -> "Future[CropBatch]":
        """Read crops in the background."""
        return self._pool.submit(self._batch, numbers)

    def _batch(self, numbers: Sequence[int]) -> CropBatch:
        crops = [self.crop(number) for number in numbers]
        audio, rolls = (np.stack([getattr(crop, name) for crop in crops]) for name in ("audio", "roll"))
        return CropBatch(torch.from_numpy(audio), torch.from_numpy(rolls))
