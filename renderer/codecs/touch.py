"""How notes that are known make the tones of their keys swell and fade."""

import torch
from torch import nn
from torch.nn import functional

from renderer.device import CPU, skips_silent_keys
from renderer.midi.notes import KEYS, LOWEST_KEY, Notes
from renderer.model.piano_roll import DECAYS, FEATURES, latest_velocity, roll_of_notes
from renderer.transfer import sent

_WIDTH = 64
_FAINTEST = 1e-3
_USUAL_VELOCITY = 0.5
_RING_SECONDS = 2.0
_TAIL_SECONDS = (0.25, 0.8)
_TAILS = len(_TAIL_SECONDS)
_FEATURES = FEATURES + _TAILS
HAS_NOTES = _FEATURES
NOTE_FEATURES = _FEATURES + 2
"""Of each key: its features, its tails, a 1 that says that notes are given, and the log velocity of its latest strike.

Tails fall slower than the features once a key is released, as what dampers leave and rooms do."""


def note_roll(notes: Notes | None, frames: int, frame_rate: int, device: torch.device = CPU) -> torch.Tensor:
    """What a decoder is conditioned on, (frames, KEYS, NOTE_FEATURES) float32; all 0 where there are no notes to go by.

    The log velocity is counted from the usual one, and 0 on keys that were not struck yet.
    """
    if notes is None:
        return torch.zeros(frames, KEYS, NOTE_FEATURES, device=device)
    features = roll_of_notes(notes, frames, frame_rate, device).unflatten(-1, (KEYS, FEATURES))
    tails = _tails(notes, frames, frame_rate, device)
    velocity = latest_velocity(notes, frames, frame_rate, device)
    strike = torch.where(velocity > 0, velocity / _USUAL_VELOCITY, 1.0).log()
    return torch.cat([features, functional.pad(tails, (0, 1), value=1.0), strike[..., None]], dim=-1)


def _tails(notes: Notes, frames: int, frame_rate: int, device: torch.device) -> torch.Tensor:
    """(frames, KEYS, _TAILS) float32; notes of one key add up."""
    columns = (notes.onset, notes.offset, notes.velocity / 128)
    onset, offset, loudness = sent([torch.tensor(column, dtype=torch.float32) for column in columns], device)
    (key,) = sent([torch.tensor(notes.pitch - LOWEST_KEY)], device)
    begin = torch.arange(frames, device=device)[:, None] / frame_rate
    age, over = begin - onset, (begin - offset).clamp_min(0)
    ringing = loudness * (age > -1 / frame_rate) * (-age.clamp_min(0) / _RING_SECONDS).exp()
    of_notes = torch.stack([ringing * (-over / seconds).exp() for seconds in _TAIL_SECONDS], dim=-1)
    # A product, as sums by index come in any order on CUDA.
    return torch.einsum("tnf,nk->tkf", of_notes, functional.one_hot(key, KEYS).float())


class Touch(nn.Module):
    """What each key's notes add to the log loudness of its spectra: (..., KEYS, NOTE_FEATURES) -> (..., KEYS, count).

    ``sound`` (..., width) is what is known of the piano and the room at each moment. Where all of the roll is 0, as
    without notes, so is what is added. The logarithms of the decaying features fall by a straight line while a note
    sounds, as the level of a tone does: it begins as the slowest of them, with a tone of medium velocity as loud as the
    codes say, and a key that is not held far below.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        known = _FEATURES + 2 + DECAYS + _TAILS
        self.straight = nn.Linear(known, count, bias=False)
        self.input = nn.Linear(known, _WIDTH, bias=False)
        self.of_key = nn.Parameter(torch.zeros(KEYS, _WIDTH))
        self.of_sound = nn.Linear(width, _WIDTH, bias=False)
        self.output = nn.Linear(_WIDTH, count, bias=False)
        nn.init.zeros_(self.straight.weight)
        nn.init.zeros_(self.output.weight)
        with torch.no_grad():
            self.straight.weight[:, _FEATURES + 2 + DECAYS - 1] = 1.0
            self.straight.weight[:, _FEATURES] = -_above_silence(torch.tensor(_USUAL_VELOCITY))

    def forward(self, roll: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """See the class; float32."""
        features, has_notes, strike = roll.split([_FEATURES, 1, 1], dim=-1)
        of_sound = self.of_sound(sound.to(self.of_sound.weight.dtype))
        is_struck = (features != 0).any(-1)
        if not skips_silent_keys(roll.device):
            place = self.of_key + of_sound[..., None, :] * is_struck[..., None]
            return has_notes * self._added(torch.cat([features, strike], dim=-1), place)
        # Most keys are not struck: what is added to such a key is so faint that the sound does not matter.
        added = has_notes * self._added(roll.new_zeros(KEYS, _FEATURES + 1), self.of_key)
        struck = is_struck.nonzero(as_tuple=True)
        # Looked up, not indexed: the gradient of that adds up in any order.
        moment = torch.arange(of_sound[..., 0].numel()).view(of_sound.shape[:-1])[struck[:-1]]
        place = functional.embedding(struck[-1], self.of_key) + functional.embedding(moment, of_sound.flatten(0, -2))
        added[struck] = self._added(torch.cat([features, strike], dim=-1)[struck], place)
        return added

    def _added(self, features: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """To keys whose notes are given, (..., _FEATURES + 1), each with its ``place``: (..., count) float32."""
        decays = torch.cat([features[..., :DECAYS], features[..., FEATURES:_FEATURES]], dim=-1)
        features, strike = features.split([_FEATURES, 1], dim=-1)
        known = torch.cat([functional.pad(features, (0, 1), value=1.0), strike, _above_silence(decays)], dim=-1)
        known = known.to(place.dtype)
        added: torch.Tensor = self.straight(known) + self.output(functional.gelu(self.input(known) + place))
        return added.float()


def _above_silence(decay: torch.Tensor) -> torch.Tensor:
    return (decay / _FAINTEST + 1).log()
