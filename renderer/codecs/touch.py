"""How notes that are known make the tones of their keys swell and fade."""

import torch
from torch import nn
from torch.nn import functional

from renderer.device import CPU, skips_silent_keys
from renderer.midi.notes import KEYS, Notes
from renderer.model.piano_roll import DECAYS, FEATURES, latest_velocity, roll_of_notes

_WIDTH = 32
_FAINTEST = 1e-3
_USUAL_VELOCITY = 0.5
NOTE_FEATURES = FEATURES + 2
"""Of each key: its features, a 1 that says that notes are given, and the log velocity of its latest strike."""


def note_roll(notes: Notes | None, frames: int, frame_rate: int, device: torch.device = CPU) -> torch.Tensor:
    """What a decoder is conditioned on, (frames, KEYS, NOTE_FEATURES) float32; all 0 where there are no notes to go by.

    The log velocity is counted from the usual one, and 0 on keys that were not struck yet.
    """
    if notes is None:
        return torch.zeros(frames, KEYS, NOTE_FEATURES, device=device)
    features = roll_of_notes(notes, frames, frame_rate, device).unflatten(-1, (KEYS, FEATURES))
    velocity = latest_velocity(notes, frames, frame_rate, device)
    strike = torch.where(velocity > 0, velocity / _USUAL_VELOCITY, 1.0).log()
    return torch.cat([functional.pad(features, (0, 1), value=1.0), strike[..., None]], dim=-1)


class Touch(nn.Module):
    """What each key's notes add to the log loudness of its spectra: (..., KEYS, NOTE_FEATURES) -> (..., KEYS, count).

    Where all is 0, as without notes, so is what is added. The logarithms of the decaying features fall by a straight
    line while a note sounds, as the level of a tone does: it begins as the slowest of them, with a tone of medium
    velocity as loud as the codes say, and a key that is not held far below.

    ``velocity_response`` is the power of the velocity by which tones are louder besides. It is not learned: codes of
    recordings say how loud a note is, so that training finds no use for its velocity, but a language model's say it
    loosely.
    """

    def __init__(self, count: int, velocity_response: float = 0.0) -> None:
        super().__init__()
        self.velocity_response = velocity_response
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
        features, has_notes, strike = roll.split([FEATURES, 1, 1], dim=-1)
        if not skips_silent_keys(roll.device):
            return has_notes * self._added(features, self.of_key) + self.velocity_response * strike
        # Most keys are not struck: what is added to such a key is always the same, and computed once.
        added = has_notes * self._added(roll.new_zeros(KEYS, FEATURES), self.of_key)
        struck = (features != 0).any(-1).nonzero(as_tuple=True)
        # Looked up, not indexed: the gradient of that adds up in any order.
        added[struck] = self._added(features[struck], functional.embedding(struck[-1], self.of_key))
        return added + self.velocity_response * strike

    def _added(self, features: torch.Tensor, of_key: torch.Tensor) -> torch.Tensor:
        """To keys whose notes are given, (..., FEATURES), each with its row of ``of_key``: (..., count) float32."""
        x = torch.cat([functional.pad(features, (0, 1), value=1.0), _above_silence(features[..., :DECAYS])], dim=-1)
        x = x.to(of_key.dtype)
        added: torch.Tensor = self.straight(x) + self.output(functional.gelu(self.input(x) + of_key))
        return added.float()


def _above_silence(decay: torch.Tensor) -> torch.Tensor:
    return (decay / _FAINTEST + 1).log()
