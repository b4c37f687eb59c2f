"""Whether a codec's latents still say which notes are played, and which are struck."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from renderer.midi.notes import KEYS, LOWEST_KEY, Notes

_WIDTH, _KERNEL = 256, 5


class NoteLoss(nn.Module):
    """Cross-entropy, in nats a frame, of the struck and of the sounding keys as guessed from latents (B, T, D).

    The network that tells them learns beside the codec and is no part of it. It is the encoder that gains: what 40
    bits a frame cannot all hold is chosen by what it means, as in codecs whose first codebook is taught what is
    said (arXiv 2308.16692, section 3.2).
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.spread = nn.Conv1d(latent, _WIDTH, _KERNEL, padding=_KERNEL // 2)
        self.head = nn.Linear(_WIDTH, 2 * KEYS)

    def forward(self, latent: torch.Tensor, notes: Sequence[Notes], frame_rate: int) -> torch.Tensor:
        """``notes`` of each clip, in seconds from its beginning."""
        keys = np.stack([struck_and_sounding(of_clip, latent.shape[1], frame_rate) for of_clip in notes])
        wanted = torch.from_numpy(keys).to(latent.device)
        spread = functional.gelu(self.spread(latent.transpose(1, 2))).transpose(1, 2)
        guessed = self.head(spread).float().unflatten(-1, (2, KEYS))
        return functional.binary_cross_entropy_with_logits(guessed, wanted, reduction="none").sum((2, 3)).mean()


def struck_and_sounding(notes: Notes, frames: int, frame_rate: int) -> NDArray[np.float32]:
    """(frames, 2, KEYS) from 0 s on: 1 where a key is struck within a frame, and where it sounds."""
    roll = np.zeros((frames, 2, KEYS), np.float32)
    first = np.floor(notes.onset * frame_rate).astype(np.int64)
    last = np.ceil(notes.offset * frame_rate).astype(np.int64)
    for begin, end, pitch in zip(first, last, notes.pitch, strict=True):
        if 0 <= begin < frames:
            roll[begin, 0, pitch - LOWEST_KEY] = 1
        roll[max(begin, 0) : max(end, 0), 1, pitch - LOWEST_KEY] = 1
    return roll
