"""An LSTM over clips side by side: it is serial in time, and reads its weights anew for every frame."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

ROWS, FRAMES = 16, 64
"""The one shape in which it is run, filled up with zeros: so what lies beside a clip cannot change its sums."""


def run_side_by_side(lstm: nn.LSTM, clips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Clips (T, D) of any lengths, each from the beginning -> the outputs of each, (T, D)."""
    outputs: list[torch.Tensor] = []
    for first in range(0, len(clips), ROWS):
        group = clips[first : first + ROWS]
        frames = -(-max(map(len, group)) // FRAMES) * FRAMES
        rows = [functional.pad(clip, (0, 0, 0, frames - len(clip))) for clip in group]
        batch = functional.pad(torch.stack(rows, dim=1), (0, 0, 0, ROWS - len(group)))
        state, blocks = None, []
        for block in batch.split(FRAMES):
            output, state = lstm(block, state)
            blocks.append(output)
        joined = torch.cat(blocks)
        outputs += [joined[: len(clip), row] for row, clip in enumerate(group)]
    return outputs
