"""What a codec learns from: short crops of recordings."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.errors import TrainingError
from renderer.midi.notes import Notes
from renderer.model.piano_roll import notes_near
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
    """Mono float32 audio (samples,), and its notes in seconds from its beginning, those struck before it included."""

    audio: FloatSamples
    notes: Notes


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Crops side by side: audio (B, samples) float32, and the notes of each."""

    audio: torch.Tensor
    notes: list[Notes]


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
        start, stop = (sample / settings.sample_rate for sample in (begin, begin + settings.samples))
        notes = notes_near(self.source.notes(index), start, stop)
        return Crop(samples * np.float32(min(gain, 1 / peak if peak > 0 else gain)), notes)

    def ahead(self, numbers: Sequence[int]) -> "Future[CropBatch]":
        """Read crops in the background."""
        return self._pool.submit(self._batch, numbers)

    def _batch(self, numbers: Sequence[int]) -> CropBatch:
        crops = [self.crop(number) for number in numbers]
        audio = torch.from_numpy(np.stack([crop.audio for crop in crops]))
        return CropBatch(audio, [crop.notes for crop in crops])
