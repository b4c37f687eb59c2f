"""What a prompt sounds like, as one vector: for models whose frames are all conditioned on it, beside attention.

It is pooled over time, as what tells speakers apart is (x-vectors: Snyder et al., ICASSP 2018), so that it keeps how
the prompt sounds and loses what is played in it. The published network has none.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from renderer.model.piano_roll import ROLL_WIDTH, PianoRoll, RollNotes, roll_of

Conditioning = Callable[[RollNotes, torch.Tensor, int], torch.Tensor | None]
"""``MidiValle.ar_conditioning`` or ``nar_conditioning``."""

_KERNEL = 5
_LEAST_VARIANCE = 1e-4


class PromptSummary(nn.Module):
    """A small network over the prompt's codes and, where ``is_given_notes``, the piano roll of what is played in it."""

    def __init__(self, codebooks: int, codebook_size: int, width: int, outputs: int, is_given_notes: bool) -> None:
        super().__init__()
        self.codes = nn.ModuleList(nn.Embedding(codebook_size, width) for _ in range(codebooks))
        self.notes = nn.Linear(ROLL_WIDTH, width) if is_given_notes else None
        self.near = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2)
        self.far = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2)
        self.out = nn.Linear(2 * width, outputs)

    def forward(self, codes: torch.Tensor, is_heard: torch.Tensor, roll: torch.Tensor | None) -> torch.Tensor:
        """Codes (B, P, K) int64, of which (B, P) bool are heard, and the roll (B, P, ROLL_WIDTH) -> (B, outputs).

        Of a prompt of which nothing is heard, all that is known is that it is not there.
        """
        heard = is_heard[..., None].to(self.out.weight.dtype)
        x = torch.stack([embed(codes[..., book]) for book, embed in enumerate(self.codes)]).sum(0)
        if self.notes is not None and roll is not None:
            x = x + self.notes(roll.to(x.dtype))
        x = (x * heard).transpose(1, 2)
        x = functional.relu(self.near(x))
        x = (x + functional.relu(self.far(x))).transpose(1, 2).to(heard.dtype)
        count = heard.sum(1).clamp_min(1)
        mean = (x * heard).sum(1) / count
        variance = ((x - mean[:, None]).square() * heard).sum(1) / count
        pooled = torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=-1)
        summary: torch.Tensor = self.out(pooled)
        return summary


def frame_conditioning(
    roll: PianoRoll | None,
    summary: PromptSummary | None,
    notes: RollNotes,
    prompt: torch.Tensor,
    frames: int,
    begin: int,
) -> torch.Tensor | None:
    """A window's conditioning (1, frames, d): what is played, and, from frame ``begin`` on, the summary.

    Notes (n,) and prompt codes (P, K) are the window's. None where there is neither.
    """
    played = None if roll is None else roll_of(notes, frames, roll.frame_rate)[None]
    conditioning = None if roll is None or played is None else roll.conditioning(played)
    if summary is None:
        return conditioning
    is_heard = torch.ones_like(prompt[None, :, 0], dtype=torch.bool)
    vector = summary(prompt[None], is_heard, None if played is None else played[:, : len(prompt)])
    is_given = (torch.arange(frames, device=prompt.device) >= begin)[:, None].to(vector.dtype)
    return is_given * vector[:, None] if conditioning is None else conditioning + is_given * vector[:, None]
