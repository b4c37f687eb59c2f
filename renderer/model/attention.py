"""What attends to what: in whole sequences, and in MIDI with causal audio behind it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch.nn import functional as F

Keep = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Takes a layer's index, and its keys and values (heads, T, width), for decoding to go on from."""


class Attend(Protocol):
    """Attention of one layer, given by its index."""

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values (B, heads, T, width) -> (B, heads, T, width)."""
        ...


class FullAttention:
    """Every position sees every position: the NAR decoder.

    Where only the first ``length`` positions are real and the rest fill a sequence up, nobody sees these.
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``."""
        return F.scaled_dot_product_attention(query, key[:, :, : self.length], value[:, :, : self.length])


class PrefixAttention:
    """MIDI rows see all MIDI and no audio; an audio frame sees all MIDI and audio up to itself: the AR decoder.

    With ``keep``, it is given the keys and values of the only sequence.
    """

    def __init__(self, midi_rows: int, keep: Keep | None = None) -> None:
        self.midi_rows = midi_rows
        self.keep = keep

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``Attend``."""
        if self.keep is not None:
            self.keep(layer, key[0], value[0])
        position = torch.arange(query.shape[2], device=query.device)
        visible = (position < self.midi_rows) | (
            (position[:, None] >= self.midi_rows) & (position <= position[:, None])
        )
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
