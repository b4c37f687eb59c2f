"""Sequences one after another in one tensor of a fixed number of positions, prepared on the host and copied as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch

from renderer.model.varlen import Spans
from renderer.transfer import sent

MIDI, PROMPT, FRAME = 1, 2, 3
"""Kinds of positions: MIDI rows, frames whose codes are all known, frames to be completed. What fills up is 0."""

_LONGEST_STEP = 256


class Part(NamedTuple):
    """A sequence of a pack: MIDI ``rows`` (S, 6) at ``positions`` (S,), ``prompt`` codes (P, K), and more ``frames``.

    All on the CPU; of the further frames nothing is known here.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    prompt: torch.Tensor
    frames: int

    @property
    def length(self) -> int:
        """How many positions it has."""
        return len(self.rows) + len(self.prompt) + self.frames


@dataclass(frozen=True, eq=False)
class Pack:
    """Of N positions, on the device: each sequence's MIDI rows, then its audio frames; then what fills up.

    ``kind`` (N,) uint8; ``rows`` (N, 6) int64, 0 at frames; ``codes`` (N, K) int64, 0 where they are not known;
    ``positions`` (N,) float32 of rows and frames on their clocks; ``places`` (N,) int64 is where the sequence's slot
    has this position, for what fills up behind all slots. ``spans`` says where sequences lie, ``midi`` (sequences,)
    int32 how many rows each has. ``starts`` are those of the sequences, known to the host.
    """

    kind: torch.Tensor
    rows: torch.Tensor
    codes: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor
    spans: Spans
    midi: torch.Tensor
    starts: tuple[int, ...]

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        size: int,
        device: torch.device,
        firsts: Sequence[int] | None = None,
        behind: int = 0,
    ) -> Self:
        """Parts, whose slots' first places are ``firsts``; nobody waits until they have come to the device.

        ``behind`` is a place that no slot has.
        """
        kind = torch.zeros(size, dtype=torch.uint8)
        rows = torch.zeros(size, 6, dtype=torch.int64)
        codes = torch.zeros(size, parts[0].prompt.shape[1], dtype=torch.int64)
        positions = torch.zeros(size)
        places = torch.full((size,), behind)
        starts = [0]
        for number, part in enumerate(parts):
            start, end = starts[-1], starts[-1] + part.length
            audio = start + len(part.rows)
            new = audio + len(part.prompt)
            kind[start:audio], kind[audio:new], kind[new:end] = MIDI, PROMPT, FRAME
            rows[start:audio], positions[start:audio] = part.rows, part.positions
            codes[audio:new] = part.prompt
            positions[audio:end] = torch.arange(end - audio)
            if firsts is not None:
                places[start:end] = torch.arange(firsts[number], firsts[number] + part.length)
            starts.append(end)
        if starts[-1] > size:
            raise ValueError(f"sequences of {starts[-1]} positions do not go into a pack of {size}")
        of_starts = torch.tensor(starts, dtype=torch.int32)
        midi = torch.tensor([len(part.rows) for part in parts], dtype=torch.int32)
        longest = -(-max(part.length for part in parts) // _LONGEST_STEP) * _LONGEST_STEP
        kind, rows, codes, positions, places, of_starts, midi = sent(
            [kind, rows, codes, positions, places, of_starts, midi], device
        )
        return cls(kind, rows, codes, positions, places, Spans(of_starts, longest), midi, tuple(starts))


def shared_out(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Which of several sequences go into one pack of ``size`` positions, in their order; a longer one goes alone."""
    some: list[int] = []
    for number, length in enumerate(lengths):
        if some and sum(lengths[other] for other in some) + length > size:
            yield some
            some = []
        some.append(number)
    if some:
        yield some
