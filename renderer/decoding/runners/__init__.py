"""The model's passes: as each device runs them fastest."""

import torch

from renderer.decoding.runners.runner import ModelRunner
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.model.midi_valle import MidiValle


def make_runner(model: MidiValle, slots: int, decoding: torch.dtype | None = None) -> ModelRunner:
    """What runs a model on its device, with empty slots.

    ``decoding`` is the type of what every step of decoding reads: the model's own, or torch.float16 on a CPU.
    """
    if slots < 1:
        raise ValueError(f"batch_size is {slots}; it must be at least 1")
    return SequentialRunner(model, slots, decoding)
