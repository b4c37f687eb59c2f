"""The notes as audio frames meet them: which keys were struck, how hard, how long ago, and which are held.

The published network leaves it to attention to find the notes of a frame among the MIDI rows. It takes long training
to learn that. Where a model is small and its training short, each frame is conditioned on them as well; so can a
codec's decoder be (renderer/codecs/sinusoidal_codec.py), which then need not guess them from codes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from renderer.device import CPU
from renderer.midi.notes import HIGHEST_KEY, KEYS, LOWEST_KEY, Notes
from renderer.model.tokens import GRID_PER_BAR, GRID_PER_SECOND
from renderer.transfer import sent

FEATURES = 5
"""Of each key: what is left of its velocity after three decays, whether it is held, and where in the frame it began."""

DECAYS = 3
"""How many of them decay, from the fastest to the slowest; they come first."""

ROLL_WIDTH = KEYS * FEATURES
"""Features of a frame in all."""

_FIRST_PITCH, _FIRST_VELOCITY, _FIRST_DURATION, _FIRST_POSITION, _FIRST_BAR = 4, 4, 3, 4, 4
_DECAY_SECONDS = (0.05, 0.3, 2.0)
_FORGOTTEN_SECONDS = 2.0
_RELEASE_SECONDS = 0.08
_KERNEL = 5
_NEVER = 1e6
_EDGE = 1e-3
"""Of a frame: rounding must not strike a note on a frame's edge a frame early."""


class PianoRoll(nn.Module):
    """MIDI rows (S, 6) int64, markers included, and a number of frames -> the frames' conditioning (frames, width).

    A frame also learns of the two before it and the two after it.
    """

    def __init__(self, width: int, frame_rate: int) -> None:
        super().__init__()
        self.frame_rate = frame_rate
        self.keys = nn.Linear(ROLL_WIDTH, width)
        self.spread = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2)

    def forward(self, rows: torch.Tensor, frames: int) -> torch.Tensor:
        """See the class."""
        return self.conditioning(piano_roll(rows, frames, self.frame_rate)[None])[0]

    def conditioning(self, roll: torch.Tensor, is_frame: torch.Tensor | None = None) -> torch.Tensor:
        """The same of rolls side by side (B, T, ROLL_WIDTH) -> (B, T, width).

        Where they are not equally long, ``is_frame`` (B, T) says what belongs to each.
        """
        seen = functional.relu(self.keys(roll.to(self.keys.weight.dtype)))
        if is_frame is not None:
            seen = seen * is_frame[..., None]
        spread: torch.Tensor = self.spread(seen.transpose(1, 2))
        return spread.transpose(1, 2)


class RollNotes(NamedTuple):
    """Notes of a window (n,), or of several (B, n): ``key`` int64 from 0, ``loudness``, onset and offset in seconds."""

    key: torch.Tensor
    loudness: torch.Tensor
    onset: torch.Tensor
    offset: torch.Tensor


def piano_roll(rows: torch.Tensor, frames: int, frame_rate: int) -> torch.Tensor:
    """(frames, ROLL_WIDTH) float32, from 0 to about 1; notes of one key add up."""
    return roll_of(notes_of_rows(rows), frames, frame_rate)


def notes_of_rows(rows: torch.Tensor) -> RollNotes:
    """The notes that MIDI rows (S, 6) stand for."""
    notes = rows[rows[:, 0] >= _FIRST_PITCH]
    pitch, velocity, duration, _, position, bar = notes.unbind(1)
    onset = ((bar - _FIRST_BAR) * GRID_PER_BAR + position - _FIRST_POSITION) / GRID_PER_SECOND
    offset = onset + (duration - _FIRST_DURATION) / GRID_PER_SECOND
    return RollNotes(pitch - _FIRST_PITCH, (velocity - _FIRST_VELOCITY) / 64, onset, offset)


def side_by_side(windows: Sequence[RollNotes]) -> RollNotes:
    """The notes of several windows (B, n); what fills them up is never struck."""

    def filled(column: int, value: float) -> torch.Tensor:
        parts = [window[column] for window in windows]
        return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)

    return RollNotes(filled(0, 0), filled(1, 0.0), filled(2, _NEVER), filled(3, _NEVER))


def roll_of_notes(notes: Notes, frames: int, frame_rate: int, device: torch.device = CPU) -> torch.Tensor:
    """The same of notes in seconds, which may have been struck before the first frame, at 0 s; computed on a device.

    ValueError if a piano has no such key.
    """
    if strange := notes.pitch[(notes.pitch < LOWEST_KEY) | (notes.pitch > HIGHEST_KEY)].tolist():
        raise ValueError(f"the notes have pitch {strange[0]}; a piano's keys are {LOWEST_KEY} to {HIGHEST_KEY}")
    columns = (notes.onset, notes.offset, notes.velocity / 128)
    onset, offset, loudness = (torch.tensor(column, dtype=torch.float32) for column in columns)
    of_notes = RollNotes(torch.tensor(notes.pitch - LOWEST_KEY), loudness, onset, offset)
    return roll_of(RollNotes(*sent(of_notes, device)), frames, frame_rate)


def latest_velocity(notes: Notes, frames: int, frame_rate: int, device: torch.device = CPU) -> torch.Tensor:
    """How hard each key was struck last, as the frames meet it: (frames, KEYS) float32, 0 to 1; 0 before any strike."""
    first = (torch.tensor(notes.onset) * frame_rate + _EDGE).floor().clamp_min(0).long()
    place = first * KEYS + torch.tensor(notes.pitch - LOWEST_KEY)
    strike, begun = torch.arange(1, len(notes) + 1), first < frames  # Notes are in the order of their onsets.
    velocity = functional.pad(torch.tensor(notes.velocity).float() / 128, (1, 0))
    place, strike, velocity = sent([place[begun], strike[begun], velocity], device)
    latest = torch.zeros(frames * KEYS, dtype=torch.int64, device=device).scatter_reduce(0, place, strike, "amax")
    return velocity[latest.view(frames, KEYS).cummax(0).values]


def notes_near(notes: Notes, start: float, stop: float) -> Notes:
    """Of the notes of a recording, those that matter to the roll of [start, stop), in seconds from ``start``."""
    return notes.selected((notes.offset > start - _FORGOTTEN_SECONDS) & (notes.onset < stop)).shifted(-start)


def roll_of(notes: RollNotes, frames: int, frame_rate: int) -> torch.Tensor:
    """The roll of notes (..., n): (..., frames, ROLL_WIDTH) float32."""
    key, loudness, onset, offset = (column[..., None, :] for column in notes)
    begin = torch.arange(frames, device=key.device)[:, None] / frame_rate
    age, over = begin - onset, (begin - offset).clamp_min(0)
    has_begun = age * frame_rate > -1 + _EDGE
    decays = [loudness * has_begun * (-age.clamp_min(0) / seconds).exp() for seconds in _DECAY_SECONDS]
    decays[-1] = decays[-1] * (-over / _RELEASE_SECONDS).exp()
    held = (has_begun & (over == 0)).float()
    struck = (1 - (age * frame_rate).abs()).clamp_min(0)
    of_notes = torch.stack([*decays, held, struck], dim=-1)
    # A product, as sums by index come in any order on CUDA.
    of_key = functional.one_hot(key[..., 0, :], KEYS).float()
    return torch.einsum("...tnf,...nk->...tkf", of_notes, of_key).flatten(-2)
