"""Attention within the windows of a pack, to train with: by the varlen kernel of the device, or window by window."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from renderer.model.varlen import Spans, choose_varlen

CPU_CHUNK = 256
"""Positions whose causal attention the CPU computes in one go: what they cannot see is mostly left out."""

_LONGEST_STEP = 512
"""Longest lengths are rounded up to it: then few values occur, and a compiled network is compiled once."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """Where W sequences lie among N positions, for a device, and how long each is, for the host."""

    spans: Spans
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, lengths: Iterable[int]) -> "Sequences":
        """Sequences of these lengths."""
        lengths = tuple(lengths)
        longest = -(-max(lengths) // _LONGEST_STEP) * _LONGEST_STEP
        return cls(Spans(torch.tensor([0, *accumulate(lengths)], dtype=torch.int32), longest), lengths)

    def with_starts(self, starts: torch.Tensor) -> "Sequences":
        """The same, with ``starts`` elsewhere."""
        return Sequences(Spans(starts, self.spans.longest), self.lengths)


Within = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequences, bool], torch.Tensor]
"""Queries, keys and values (N, heads, width) of sequences -> (N, heads, width); with or without a causal mask."""


@dataclass(frozen=True)
class WindowKernel:
    """A way to compute attention within sequences, and what it is called."""

    name: str
    within: Within


def choose_kernel(device: torch.device, dtype: torch.dtype, width: int) -> WindowKernel:
    """The fastest that can be trained with on the device, for heads of this width."""
    one_by_one = WindowKernel("each window by itself", attend_one_by_one)
    kernel = choose_varlen(device, dtype, width)
    if kernel is None:
        return one_by_one
    attend = kernel.attend

    def within(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sequences: Sequences, is_causal: bool
    ) -> torch.Tensor:
        return attend(query, key, value, sequences.spans, sequences.spans, causal=is_causal)

    try:
        check_learning(within, device, dtype, width)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(f"{kernel.name} cannot be trained with, so windows are attended apart: {reason}", stacklevel=2)
        return one_by_one
    return WindowKernel(kernel.name, within)


class FullWithinWindows:
    """Within a window, every position sees every position: the NAR decoder."""

    def __init__(self, windows: Sequences, within: Within) -> None:
        self.windows, self.within = windows, within

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.attention.Attend``; the batch is one pack."""
        query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
        return self.within(query, key, value, self.windows, False).transpose(0, 1)[None]


class PrefixWithinWindows:
    """Within a window, MIDI rows see all MIDI, audio frames all MIDI and audio up to themselves: the AR decoder.

    What comes last sees all that a causal mask shows, so audio needs no more than one. ``places`` (M,) are those of the
    MIDI rows, which are then attended to once more by themselves, without one.
    """

    def __init__(self, windows: Sequences, midi: Sequences, places: torch.Tensor, within: Within) -> None:
        self.windows, self.midi, self.places, self.within = windows, midi, places, within

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.attention.Attend``; the batch is one pack."""
        query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
        causal = self.within(query, key, value, self.windows, True)
        query, key, value = (x.index_select(0, self.places) for x in (query, key, value))
        midi = self.within(query, key, value, self.midi, False)
        return causal.index_copy(0, self.places, midi.to(causal.dtype)).transpose(0, 1)[None]


def attend_one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sequences: Sequences, is_causal: bool
) -> torch.Tensor:
    """Every sequence by itself, on any device."""
    attend = causal_attention if is_causal else attention
    parts = zip(*(x.transpose(0, 1).split(sequences.lengths, dim=1) for x in (query, key, value)), strict=True)
    return torch.cat([attend(*part) for part in parts], dim=1).transpose(0, 1)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention without a mask; (heads, T, width)."""
    if query.device.type == "cpu":
        return _written_out(query, key, value)
    return functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]


def causal_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention of the last positions to all before them and themselves: (heads, T, width) to (heads, S + T, width)."""
    before = key.shape[1] - query.shape[1]
    if query.device.type != "cpu":
        mask = causal_lower_right(query.shape[1], key.shape[1])
        return functional.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=mask)[0]
    seen = []
    for begin in range(0, query.shape[1], CPU_CHUNK):
        part = query[:, begin : begin + CPU_CHUNK]
        size, extent = part.shape[1], before + begin + part.shape[1]
        bias = torch.full((size, size), float("-inf"), dtype=part.dtype).triu(1)
        bias = functional.pad(bias, (extent - size, 0))
        seen.append(_written_out(part, key[:, :extent], value[:, :extent], bias))
    return torch.cat(seen, dim=1)


def _written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention step by step, which on the CPU is several times faster than the fused call in bf16."""
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
    weights = (scores if bias is None else scores + bias).softmax(dim=-1)
    return weights @ value


def check_learning(within: Within, device: torch.device, dtype: torch.dtype, width: int) -> None:
    """AssertionError if a kernel, forward or backward, does not give what sequences give one by one."""
    lengths: Sequence[int] = (3, 40, 300)
    sequences = Sequences.of(lengths)
    sequences = sequences.with_starts(sequences.spans.starts.to(device))
    waves = torch.linspace(0, 999, 3 * sum(lengths) * 2 * width, device=device).sin().to(dtype)
    for is_causal in (False, True):
        results = []
        for attend in (within, attend_one_by_one):
            inputs = waves.view(3, -1, 2, width).clone().requires_grad_()
            query, key, value = inputs.unbind()
            attended = attend(query, key, value, sequences, is_causal)
            attended.float().square().sum().backward()
            results.append((attended, inputs.grad))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
