"""Windows of any length side by side in one sequence, so that nothing is computed for padding.

All but attention works on single positions and does not care where a window begins; attention takes the windows
apart.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from renderer.model.piano_roll import PianoRoll
from renderer.training.windows import Window

CPU_CHUNK = 256
"""Audio frames whose causal attention the CPU computes in one go: what they cannot see is mostly left out."""


class Pack:
    """Windows as tensors of batch one: each window's MIDI rows, then its audio frames.

    ``rows`` (1, sum S, 6) int64 and ``positions`` (1, sum S); ``codes`` (1, sum T, K) int64 and ``frames``
    (1, sum T), which count from 0 in each window; ``spans`` has every window's (S, T).
    """

    def __init__(self, windows: Sequence[Window], device: torch.device) -> None:
        self.windows = windows
        self.spans = [(len(window.rows), len(window.codes)) for window in windows]
        self.rows = torch.cat([window.rows for window in windows])[None].to(device)
        self.positions = torch.cat([window.positions for window in windows])[None].to(device)
        self.codes = torch.cat([window.codes for window in windows])[None].to(device)
        self.frames = torch.cat([torch.arange(frames) for _, frames in self.spans])[None].to(device)
        row, frame, order = 0, sum(rows for rows, _ in self.spans), []
        for rows, frames in self.spans:
            order += [torch.arange(row, row + rows), torch.arange(frame, frame + frames)]
            row, frame = row + rows, frame + frames
        self._order = torch.cat(order).to(device)
        self._audio = torch.cat([torch.arange(rows + frames) >= rows for rows, frames in self.spans]).to(device)

    def joined(self, midi: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Inputs (1, sum S, d) and (1, sum T, d) as one sequence (1, sum S + T, d), window by window."""
        return torch.cat([midi, audio.to(midi.dtype)], dim=1)[:, self._order]

    def audio(self, hidden: torch.Tensor) -> torch.Tensor:
        """The audio frames of a sequence: (1, sum S + T, d) -> (sum T, d)."""
        return hidden[0, self._audio]

    def roll(self, piano_roll: PianoRoll | None) -> torch.Tensor | None:
        """What a piano roll tells of the frames, (1, sum T, d); None where the model has none."""
        if piano_roll is None:
            return None
        device = self.rows.device
        told = [piano_roll(window.rows.to(device), len(window.codes)) for window in self.windows]
        return torch.cat(told)[None]

    @property
    def per_window(self) -> list[int]:
        """Audio frames of each window."""
        return [frames for _, frames in self.spans]


class PackedFullAttention:
    """Within a window, every position sees every position: the NAR decoder."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.sizes = [rows + frames for rows, frames in spans]

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.attention.Attend``; the batch is one pack."""
        parts = zip(*(tensor.split(self.sizes, dim=2) for tensor in (query, key, value)), strict=True)
        return torch.cat([attention(*part) for part in parts], dim=2)


class PackedPrefixAttention:
    """Within a window, MIDI rows see all MIDI, audio frames all MIDI and audio up to themselves: the AR decoder."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.spans = spans
        self.sizes = [rows + frames for rows, frames in spans]

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See ``renderer.attention.Attend``; the batch is one pack."""
        parts = zip(*(tensor.split(self.sizes, dim=2) for tensor in (query, key, value)), strict=True)
        seen = []
        for (rows, _), (q, k, v) in zip(self.spans, parts, strict=True):
            seen.append(attention(q[:, :, :rows], k[:, :, :rows], v[:, :, :rows]))
            seen.append(causal_attention(q[:, :, rows:], k, v))
        return torch.cat(seen, dim=2)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention without a mask; (1, heads, T, width)."""
    if query.device.type == "cpu":
        return _written_out(query, key, value)
    return functional.scaled_dot_product_attention(query, key, value)


def causal_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention of the last positions to all before them and themselves: (1, heads, T, width) to (.., S + T, ..)."""
    before = key.shape[2] - query.shape[2]
    if query.device.type != "cpu":
        mask = causal_lower_right(query.shape[2], key.shape[2])
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    seen = []
    for begin in range(0, query.shape[2], CPU_CHUNK):
        part = query[:, :, begin : begin + CPU_CHUNK]
        size, extent = part.shape[2], before + begin + part.shape[2]
        bias = torch.full((size, size), float("-inf"), dtype=part.dtype).triu(1)
        bias = functional.pad(bias, (extent - size, 0))
        seen.append(_written_out(part, key[:, :, :extent], value[:, :, :extent], bias))
    return torch.cat(seen, dim=2)


def _written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention step by step, which on the CPU is several times faster than the fused call in bf16."""
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
    weights = (scores if bias is None else scores + bias).softmax(dim=-1)
    return weights @ value
