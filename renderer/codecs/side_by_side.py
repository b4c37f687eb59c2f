"""An LSTM over clips side by side: it is serial in time, and reads its weights anew for every frame."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

FRAMES = 64


def run_side_by_side(lstm: nn.LSTM, clips: Sequence[torch.Tensor], at_once: int) -> list[torch.Tensor]:
    """Clips (T, D) of any lengths, each from the beginning -> the outputs of each, (T, D).

    It is run in one shape, ``at_once`` clips and FRAMES frames, filled up with zeros: so what lies beside a clip cannot
    change its sums.
    """
    outputs: list[torch.Tensor] = []
    for first in range(0, len(clips), at_once):
        group = clips[first : first + at_once]
        frames = -(-max(map(len, group)) // FRAMES) * FRAMES
        rows = [functional.pad(clip, (0, 0, 0, frames - len(clip))) for clip in group]
        batch = functional.pad(torch.stack(rows, dim=1), (0, 0, 0, at_once - len(group)))
        state, blocks = None, []
        for block in batch.split(FRAMES):
            output, state = lstm(block, state)
            blocks.append(output)
        joined = torch.cat(blocks)
        outputs += [joined[: len(clip), row] for row, clip in enumerate(group)]
    return outputs
