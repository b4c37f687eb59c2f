"""Corpora whose clips are tones that decay: real enough to be transcribed by ear, and made in no time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from jobs.shard.backend import CorpusRenderer, ModelFacts
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import OneByOne
from tests.jobs.support.rendered import render_run
from tests.renderer.tones import melody, played

SAMPLE_RATE = 32000


@dataclass(frozen=True)
class PlayedBackend:
    """Loads a renderer that plays tones."""

    def describe(self) -> ModelFacts:
        return ModelFacts("played", "0123", ("plain", "dull"), "extend", "none", SAMPLE_RATE)

    def load(self, device: str) -> CorpusRenderer:
        return PlayedRenderer()


class PlayedRenderer(OneByOne):
    """Plays tones with whatever prompt; muffled with ``dull``."""

    def prompt(self, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, torch.zeros(150, 1, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        return self.prompt(prompt_id or audio.stem)

    def rendering(self, request: RenderRequest) -> Rendering:
        samples = played(request.performance.notes, request.duration)
        if request.prompt.prompt_id == "dull":
            samples = np.convolve(samples, np.full(12, 1 / 12, np.float32), "same")
        return Rendering(
            item_id=request.item_id,
            samples=samples,
            sample_rate=SAMPLE_RATE,
            duration=request.duration,
            notes=request.performance.notes,
            report=request.performance.report,
            segments=1,
            seed=request.seed,
            prompt_id=request.prompt.prompt_id,
        )


def make_played_corpus(
    folder: Path, clips: int, seconds: float = 5.0, layout: str = "parquet", train: int = 0, dull: bool = False
) -> Path:
    """A finished corpus of clips, each of another piece; its folder.

    The last ``train`` clips are for training, the others for tests. All are in one condition, but where half of them
    are ``dull``.
    """
    (folder / "midi").mkdir(parents=True)
    ids = [f"clip-{number}" for number in range(clips)]
    for number, item_id in enumerate(ids):
        write_midi(melody(number, seconds), folder / "midi" / f"{item_id}.mid")
    columns = {
        "item_id": ids,
        "midi": [f"midi/{item_id}.mid" for item_id in ids],
        "prompt": ["dull" if dull and number % 2 else "plain" for number in range(clips)],
        "split": ["test"] * (clips - train) + ["train"] * train,
        "condition": ["dull@far" if dull and number % 2 else "tones" for number in range(clips)],
        "piece": ids,
    }
    pq.write_table(pa.table(columns), folder / "manifest.parquet")
    render_run(folder / "manifest.parquet", folder / "corpus", backend=PlayedBackend(), layout=layout, tail=0.2)
    return folder / "corpus"
