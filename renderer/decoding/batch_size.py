"""How many segments fit side by side, known before the first is rendered."""

from dataclasses import dataclass

import torch

from renderer.device import cache_dtype, free_bytes
from renderer.model.midi_valle import MidiValle
from renderer.prompt import PROMPT_SECONDS

NOTES_PER_SECOND = 25
"""More are rare; where there are more, and memory runs out, the batch is halved."""

_SHARE = {"cpu": 0.25, "cuda": 0.8}
"""Of the memory that is left: several actors share one machine, and other stages need some as well."""


@dataclass(frozen=True)
class BatchPlan:
    """``size`` segments side by side: as many as were ``wanted``, or as fit in ``free`` bytes at ``per_segment``.

    These are the keys and values of ``positions``: its frames, its prompt's, and their notes.
    """

    size: int
    wanted: int
    per_segment: int
    free: int
    positions: int

    def __str__(self) -> str:
        """For a person."""
        text = (
            f"batches of {self.size} segments: {self.size * self.per_segment / 2**20:,.0f} MiB of keys and values, "
            f"{self.free / 2**30:,.1f} GiB of memory free"
        )
        return text if self.size == self.wanted else f"{text} (not enough for {self.wanted})"


def plan_batch(model: MidiValle, decoding: torch.dtype, segment_frames: int, frame_rate: int, wanted: int) -> BatchPlan:
    """The largest batch of at most ``wanted`` segments of up to ``segment_frames`` that the model's device holds.

    ``decoding`` is as the engine has it.
    """
    device = model.ar_predict_layer.weight.device
    frames = segment_frames + round(PROMPT_SECONDS * frame_rate)
    positions = frames + NOTES_PER_SECOND * frames // frame_rate
    config, kept = model.config, cache_dtype(device, decoding)
    per_segment = 2 * config.layers * config.d_model * positions * kept.itemsize
    free = free_bytes(device)
    fitting = int(free * _SHARE[device.type] / per_segment)
    return BatchPlan(max(1, min(wanted, fitting)), wanted, per_segment, free, positions)
