"""The model's passes: as each device runs them fastest."""

import torch

from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.decoding.runners.runner import ModelRunner
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.device import cache_dtype
from renderer.model.midi_valle import MidiValle
from renderer.model.varlen import choose_varlen
from renderer.transfer import Lanes


def make_runner(
    model: MidiValle,
    slots: int,
    decoding: torch.dtype | None = None,
    positions: int = PackedSizes.positions,
    frames: int = PackedSizes.frames,
    lanes: Lanes | None = None,
) -> ModelRunner:
    """What runs a model on its device, with empty slots.

    ``decoding`` is the type of what every step of decoding reads: the model's own, or torch.float16 on a CPU. On a
    device that runs many sequences at once, room is made from the start for sequences of so many ``positions``, of
    which ``frames`` are to be generated, and with ``lanes`` the non-autoregressive stages run beside the steps.
    """
    if slots < 1:
        raise ValueError(f"batch_size is {slots}; it must be at least 1")
    weight, config = model.ar_predict_layer.weight, model.config
    dtype = cache_dtype(weight.device, decoding or weight.dtype)
    if kernel := choose_varlen(weight.device, dtype, config.d_model // config.heads):
        return PackedRunner(model, slots, kernel, decoding, PackedSizes.made_for(positions, frames), lanes)
    return SequentialRunner(model, slots, decoding)
