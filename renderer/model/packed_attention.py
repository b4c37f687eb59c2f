"""What attends to what where sequences lie one after another in one pack: as in renderer/model/attention.py."""

from collections.abc import Callable

import torch

from renderer.model.varlen import Spans, VarlenKernel

KeepPacked = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Takes a layer's index, and the keys and values (N, heads, width) of a pack, for decoding to go on from."""


class PackedFullAttention:
    """Every position of a sequence sees every other: the NAR decoder. What belongs to no sequence is undefined."""

    def __init__(self, spans: Spans, kernel: VarlenKernel) -> None:
        self.spans, self.kernel = spans, kernel

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.model.attention.Attend``; the batch is one pack."""
        query, key, value = unpacked(query), unpacked(key), unpacked(value)
        attended = self.kernel.attend(query, key, value, self.spans, self.spans)
        return attended.transpose(0, 1)[None]


class PackedPrefixAttention:
    """In a sequence, MIDI rows see all MIDI and no audio; a frame all MIDI and audio up to itself: the AR decoder.

    ``midi`` (sequences,) int32 is how many rows each has, ``is_midi`` (N,) where they are. As frames come last, what
    they see is what a causal mask shows.
    """

    def __init__(
        self, spans: Spans, midi: torch.Tensor, is_midi: torch.Tensor, kernel: VarlenKernel, keep: KeepPacked
    ) -> None:
        self.spans, self.midi, self.is_midi, self.kernel, self.keep = spans, midi, is_midi, kernel, keep

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.model.attention.Attend``; the batch is one pack."""
        query, key, value = unpacked(query), unpacked(key), unpacked(value)
        self.keep(layer, key, value)
        of_frames = self.kernel.attend(query, key, value, self.spans, self.spans, causal=True)
        of_rows = self.kernel.attend(query, key, value, self.spans, self.spans, self.midi)
        return torch.where(self.is_midi[:, None, None], of_rows, of_frames).transpose(0, 1)[None]


def unpacked(x: torch.Tensor) -> torch.Tensor:
    """(1, heads, N, width) -> (N, heads, width), as kernels want it: a position's heads lie beside one another."""
    return x[0].transpose(0, 1)
