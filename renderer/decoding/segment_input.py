"""What the model is given for one segment."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class SegmentInput:
    """What the model needs for one segment.

    ``rows`` (S, 6) int64 with BOS and EOS rows, ``positions`` (S,) float32, ``prompt`` codes (P, K) int64, the
    number of ``frames`` to generate, and the ``key`` of its noise (renderer/decoding/sampling.py).
    """

    rows: torch.Tensor
    positions: torch.Tensor
    prompt: torch.Tensor
    frames: int
    key: int

    @property
    def prefix(self) -> int:
        """Cache positions filled by prefill: all but the last prompt frame, which the first step reads."""
        return len(self.rows) + len(self.prompt) - 1
