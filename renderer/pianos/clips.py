"""A performance as clips: where to cut one for training, so that little sounds on at a cut."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from renderer.midi.notes import Notes
from renderer.segments import quietest, sounding

_FRAMES = 50
"""Cuts lie on a grid of so many places a second."""

_LEAD_SECONDS = 0.1
_FEWEST_NOTES = 4


@dataclass(frozen=True)
class ClipLengths:
    """How long clips may be, in seconds; ValueError if no performance could be cut so."""

    shortest: float
    longest: float

    def __post_init__(self) -> None:
        if not 1.0 <= self.shortest <= self.longest / 1.5:
            raise ValueError(
                f"clips of {self.shortest:g} to {self.longest:g} s cannot be cut: give 1 s or more, "
                "and at least one and a half times as much for the longest"
            )


def cut_clips(notes: Notes, lengths: ClipLengths, random: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Where clips begin and end, in seconds, so that every note is struck in at least one.

    Their lengths are drawn at random; each cut moves to where least sounds nearby, right before an onset if it
    can. What would be left over as too short is covered by a clip that overlaps the one before. Silence at a
    clip's beginning is left out. Clips in which next to nothing is played are none.
    """
    if not len(notes):
        return
    frames = int(np.ceil(notes.end * _FRAMES))
    loudness = sounding(notes, frames, _FRAMES)
    shortest, longest = (round(seconds * _FRAMES) for seconds in (lengths.shortest, lengths.longest))
    start = _first_frame(notes, 0)
    while start < frames:
        left = frames - start
        if left <= longest:
            start = max(0, min(start, frames - shortest))
            end = frames
        else:
            latest = int(random.integers(shortest * 3 // 2, longest + 1))
            earliest = max(shortest, latest * 3 // 4)
            end = quietest(loudness, start + earliest, start + latest)
        begin, stop = start / _FRAMES, end / _FRAMES
        if np.count_nonzero((notes.onset >= begin) & (notes.onset < stop)) >= _FEWEST_NOTES:
            yield begin, stop
        if end == frames:
            return
        start = max(end, _first_frame(notes, end))


def _first_frame(notes: Notes, frame: int) -> int:
    """A moment before the first note that is struck at or after a frame."""
    place = int(np.searchsorted(notes.onset, frame / _FRAMES))
    if place == len(notes):
        return int(np.ceil(notes.end * _FRAMES))
    return max(0, int((notes.onset[place] - _LEAD_SECONDS) * _FRAMES))
