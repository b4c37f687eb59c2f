"""How notes that are known make the tones of their keys swell and fade."""

import torch
from torch import nn
from torch.nn import functional

from renderer.notes import KEYS
from renderer.piano_roll import DECAYS, FEATURES

_WIDTH = 32
_FAINTEST = 1e-3
_USUAL_VELOCITY = 0.5


class Touch(nn.Module):
    """What each key's notes add to the log loudness of its spectra: (..., KEYS, FEATURES + 1) -> (..., KEYS, count).

    The last feature is 1; where all are 0, which tells nothing, so is what is added. The logarithms of the decaying
    features fall by a straight line while a note sounds, as the level of a tone does: it begins as the slowest of them,
    with a tone of medium velocity as loud as the codes say, and a key that is not held far below.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        width = FEATURES + 1 + DECAYS
        self.straight = nn.Linear(width, count, bias=False)
        self.input = nn.Linear(width, _WIDTH, bias=False)
        self.of_key = nn.Parameter(torch.zeros(KEYS, _WIDTH))
        self.output = nn.Linear(_WIDTH, count, bias=False)
        nn.init.zeros_(self.straight.weight)
        nn.init.zeros_(self.output.weight)
        with torch.no_grad():
            self.straight.weight[:, -1] = 1.0
            self.straight.weight[:, FEATURES] = -_above_silence(torch.tensor(_USUAL_VELOCITY))

    def forward(self, roll: torch.Tensor) -> torch.Tensor:
        """See the class; float32."""
        told = torch.cat([roll, _above_silence(roll[..., :DECAYS])], dim=-1).to(self.of_key.dtype)
        hidden = functional.gelu(self.input(told) + told[..., FEATURES, None] * self.of_key)
        added: torch.Tensor = self.straight(told) + self.output(hidden)
        return added.float()


def _above_silence(decay: torch.Tensor) -> torch.Tensor:
    return (decay / _FAINTEST + 1).log()
