"""A small corpus with codes, and a model directory with the codec that made them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from jobs.shard.backend import ModelFacts
from renderer.codecs.frame_codec import FrameCodec, FrameCodecConfig
from renderer.codecs.neural_codec import NeuralCodec
from renderer.file_hash import file_hash
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.rendering import Rendering, RenderRequest
from renderer.training.initial_weights import initialise
from renderer.training.model_writing import ModelMetadata, write_model
from renderer.training.randomness import seed_torch
from renderer.weights.checkpoint import FORMAT, describe, load_codec
from tests.jobs.support.dummy import DummyRenderer
from tests.jobs.support.rendered import render_run

CODEC = FrameCodecConfig(
    mel_bands=16,
    encoder_width=16,
    encoder_blocks=1,
    latent=8,
    codebooks=3,
    codebook_size=16,
    decoder_width=16,
    decoder_blocks=1,
    fine_blocks=1,
)
MODEL = ModelConfig(d_model=32, heads=2, layers=1, codebooks=3, codebook_size=16, note_position="onset")


def make_model(folder: Path, seed: int = 0) -> Path:
    """A model directory with random weights."""
    seed_torch(seed, "tiny")
    origin = folder / "origin"
    origin.mkdir(parents=True)
    facts = {"format": FORMAT, "name": "tiny", "sample_rate": 32000, "frame_rate": 50, "max_segment_seconds": 3.0}
    config = {**facts, "pedal": "extend", "model": asdict(MODEL), "codec": {"type": "frame", **asdict(CODEC)}}
    (origin / "config.json").write_text(json.dumps(config))
    save_file(FrameCodec(CODEC).state_dict(), origin / "codec.safetensors")
    save_file({}, origin / "model.safetensors")
    model = MidiValle(MODEL)
    initialise(model)
    written = ModelMetadata("tiny", MODEL, 3.0, "extend", "direct", {})
    write_model(folder / "tiny", model.state_dict(), written, describe(origin))
    return folder / "tiny"


@dataclass(frozen=True)
class NoiseBackend:
    """Bursts of noise with their true codes."""

    model: Path

    def describe(self) -> ModelFacts:
        return ModelFacts("noise", "0", ("plain", "soft"), "extend", "none", 32000)

    def load(self, device: str) -> "NoiseRenderer":
        return NoiseRenderer(load_codec(describe(self.model)))


class NoiseRenderer(DummyRenderer):
    def __init__(self, codec: NeuralCodec) -> None:
        super().__init__(0.0)
        self._codec = codec

    @torch.no_grad()
    def _rendering(self, request: RenderRequest) -> Rendering:
        notes = request.performance.notes
        samples = np.zeros(round(request.duration * 32000), np.float32)
        random = np.random.default_rng(request.seed & (2**64 - 1))
        for onset in (notes.onset * 32000).astype(int):
            burst = samples[onset : onset + 3200]
            burst += random.uniform(-0.4, 0.4, len(burst)).astype(np.float32)
        return Rendering(
            request.item_id,
            samples,
            32000,
            len(samples) / 32000,
            notes,
            request.performance.report,
            1,
            request.seed,
            request.prompt.prompt_id,
            self._codec.encode(torch.from_numpy(samples)[None])[0].numpy().astype(np.uint16),
        )


def make_training_corpus(folder: Path, model: Path, clips: int = 8, codec: str | None = None) -> Path:
    """A prepared corpus: clips of about 7 s in two conditions, two of eight for validation."""
    (folder / "midi").mkdir(parents=True)
    ids = [f"clip-{index}" for index in range(clips)]
    for index, item_id in enumerate(ids):
        random = np.random.default_rng(index)
        onset = np.sort(random.uniform(0, 5.5, 25))
        notes = Notes.of(onset, onset + 0.4, random.integers(30, 100, 25), random.integers(30, 100, 25))
        write_midi(notes, folder / "midi" / f"{item_id}.mid")
    table = {
        "item_id": ids,
        "midi": [f"midi/{item_id}.mid" for item_id in ids],
        "prompt": ["plain", "soft"] * (clips // 2),
        "condition": ["salon", "hall"] * (clips // 2),
        "split": ["validation" if index % 8 >= 6 else "train" for index in range(clips)],
        "piece": ids,
        "codec": [codec or file_hash(model / "codec.safetensors")] * clips,
    }
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    render_run(
        folder / "manifest.parquet",
        folder / "corpus",
        backend=NoiseBackend(model),
        layout="parquet",
        save_codes=True,
    )
    return folder / "corpus"
