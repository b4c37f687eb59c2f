"""What is put to the test: a model, a codec, and random segments."""

from typing import NamedTuple

import numpy as np
import torch

from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.codecs.neural_codec import NeuralCodec
from renderer.decoding.model_input import ModelInput, model_input
from renderer.midi.notes import Notes
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.prompt import PROMPT_SECONDS, Prompt
from renderer.segments import Segment
from renderer.weights.checkpoint import find_model, load_codec, load_model

NOTES_PER_SECOND = 10
PUBLISHED_SEGMENT_SECONDS = 15.0


class RandomSegment(NamedTuple):
    """What the model is given, and the notes that the codec's decoder may be given."""

    input: ModelInput
    notes: Notes


def open_network(size: str) -> tuple[MidiValle, NeuralCodec, float]:
    """Model and codec in fp32 on the CPU, and the longest segment in seconds."""
    if size == "mini":
        description = find_model("mini")
        return load_model(description), load_codec(description), description.max_segment_seconds
    torch.manual_seed(0)
    model = MidiValle(ModelConfig()).eval().requires_grad_(False)
    return model, EncodecCodec(EncodecConfig()), PUBLISHED_SEGMENT_SECONDS


def random_segment(index: int, seconds: float, model: MidiValle, frame_rate: int) -> RandomSegment:
    """A segment of random notes after a prompt of random codes and notes, ten notes a second."""
    random = np.random.default_rng(index)
    frames = round(seconds * frame_rate)
    shape = (round(PROMPT_SECONDS * frame_rate), model.config.codebooks)
    codes = random.integers(0, model.config.codebook_size, shape)
    prompt = Prompt("random", torch.from_numpy(codes), _random_notes(random, PROMPT_SECONDS))
    segment = Segment(index, 0, 0, frames, frames, _random_notes(random, seconds))
    return RandomSegment(model_input(segment, prompt, index, model.config, frame_rate, "direct"), segment.notes)


def _random_notes(random: np.random.Generator, seconds: float) -> Notes:
    count = max(1, round(seconds * NOTES_PER_SECOND))
    onset = random.uniform(0, seconds, count)
    pitch, velocity = random.integers(21, 109, count), random.integers(20, 110, count)
    return Notes.of(onset, np.minimum(onset + random.uniform(0.1, 2, count), seconds + 0.1), pitch, velocity)
