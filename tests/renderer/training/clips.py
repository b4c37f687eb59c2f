"""Clips of chance for the tests of training, in memory."""

import numpy as np

from renderer.midi.notes import IntArray, Notes
from renderer.model.midi_valle import ModelConfig
from renderer.training.windows import Windows, WindowSettings

RATE = 50
CONFIG = ModelConfig(d_model=32, heads=2, layers=2, codebooks=3, codebook_size=16, note_position="onset")


class Clips:
    """Clips with five notes a second; each can be prompted by all others."""

    def __init__(self, count: int = 4, seconds: float = 12.0, books: int = 3, size: int = 16) -> None:
        self.frames = [round(seconds * RATE)] * count
        self._notes, self._codes = [], []
        for index in range(count):
            random = np.random.default_rng(index)
            onset = np.sort(random.uniform(0, seconds - 0.1, round(5 * seconds)))
            offset = np.minimum(onset + random.uniform(0.05, 2, len(onset)), seconds)
            pitch, velocity = random.integers(21, 109, len(onset)), random.integers(20, 110, len(onset))
            self._notes.append(Notes.of(onset, offset, pitch, velocity))
            self._codes.append(random.integers(0, size, (self.frames[0], books)))

    def notes(self, index: int) -> Notes:
        return self._notes[index]

    def codes(self, index: int) -> IntArray:
        return self._codes[index]

    def prompts_for(self, index: int) -> IntArray:
        return np.array([other for other in range(len(self._codes)) if other != index])


def windows_of(clips: Clips, seed: int = 0, config: ModelConfig = CONFIG, **settings: float) -> Windows:
    wanted = WindowSettings(**{"longest": 3.0, "shortest": 1.0, **settings})
    return Windows(clips, clips.frames, range(len(clips.frames)), wanted, config, RATE, "direct", seed)
