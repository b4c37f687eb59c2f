"""What an item of a data set is, and what a batch of them is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from renderer.midi.notes import Notes
from renderer.rendering import Rendering


class Sound(NamedTuple):
    """An item: mono ``samples`` (N,) float32, and its ``notes`` (n, 4) float64.

    A note is its onset and offset in seconds, its key and its velocity, as MIDI counts them.
    """

    item_id: str
    samples: torch.Tensor
    sample_rate: int
    notes: torch.Tensor

    @classmethod
    def of(cls, item_id: str, rendering: Rendering) -> "Sound":
        """What a training reads of a rendering."""
        notes = _table(rendering.notes)
        return cls(item_id, torch.from_numpy(rendering.samples), rendering.sample_rate, notes)


class Sounds(NamedTuple):
    """A batch: ``samples`` (B, N) float32 with zeros behind the ``lengths`` (B,) int64; ``notes`` as of each item."""

    item_ids: list[str]
    samples: torch.Tensor
    lengths: torch.Tensor
    sample_rate: int
    notes: list[torch.Tensor]


def collate(items: Sequence[Sound]) -> Sounds:
    """A batch of items of any lengths: the ``collate_fn`` of a ``DataLoader``."""
    return Sounds(
        [item.item_id for item in items],
        pad_sequence([item.samples for item in items], batch_first=True),
        torch.tensor([len(item.samples) for item in items]),
        items[0].sample_rate,
        [item.notes for item in items],
    )


def _table(notes: Notes) -> torch.Tensor:
    return torch.from_numpy(
        np.stack([notes.onset, notes.offset, notes.pitch, notes.velocity], axis=1, dtype=np.float64)
    )
