"""What is known of a performance once it is read: its size, its keys, a fingerprint of its notes, its excerpts."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from renderer.midi.notes import Notes, Performance

LEAD_SECONDS = 0.1
"""An excerpt begins so long before its first note."""


class Part(NamedTuple):
    """What a row renders of a file: from ``start`` to ``end`` (None: all), in seconds of the file.

    ``seconds`` are up to its last offset; ``lowest`` and ``highest`` the keys that are struck.
    """

    start: float | None
    end: float | None
    seconds: float
    lowest: int
    highest: int


class Likeness(NamedTuple):
    """What two files have in common that hold the same notes.

    ``keys`` is a hash of the keys that are struck and their velocities: a key's strikes in order, key after key, so
    that what is struck together has no order. ``centre`` and ``spread`` are mean and standard deviation of the onsets
    in seconds after the first.
    """

    keys: bytes
    centre: float
    spread: float

    def is_same(self, other: "Likeness") -> bool:
        """Whether both are the same notes at the same times, but for how a file's clock rounds them."""
        return (
            self.keys == other.keys
            and abs(self.centre - other.centre) < _SAME_SECONDS
            and abs(self.spread - other.spread) < _SAME_SECONDS
        )


_SAME_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Measures:
    """A performance's measures, as schemas/midi_files.py tells them; its likeness and the parts to render."""

    duration_s: float
    note_count: int
    polyphony: int
    pedalled: float
    lowest_key: int
    highest_key: int
    lowest_velocity: int
    highest_velocity: int
    note_report: Mapping[str, int]
    likeness: Likeness
    parts: tuple[Part, ...]


def measure(performance: Performance, excerpt: float | None) -> Measures:
    """Measure a performance; its parts are excerpts of so many seconds, or (None) the whole."""
    notes, report = performance.notes, performance.report
    whole = Part(None, None, notes.end, int(notes.pitch.min()), int(notes.pitch.max()))
    return Measures(
        duration_s=notes.end,
        note_count=len(notes),
        polyphony=_polyphony(notes),
        pedalled=report.pedal_extended / len(notes),
        lowest_key=whole.lowest,
        highest_key=whole.highest,
        lowest_velocity=int(notes.velocity.min()),
        highest_velocity=int(notes.velocity.max()),
        note_report=asdict(report),
        likeness=_likeness(notes),
        parts=(whole,) if excerpt is None else tuple(_excerpts(notes, excerpt)),
    )


def _polyphony(notes: Notes) -> int:
    """The most notes that sound at once; one that ends where another begins does not count with it."""
    change = np.repeat([1, -1], len(notes))
    order = np.lexsort((change, np.concatenate([notes.onset, notes.offset])))
    return int(np.cumsum(change[order]).max())


def _likeness(notes: Notes) -> Likeness:
    order = np.lexsort((notes.onset, notes.pitch))
    keys = np.stack([notes.pitch[order], notes.velocity[order]]).astype(np.uint8)
    onset = notes.onset - notes.onset[0]
    return Likeness(hashlib.blake2b(keys.tobytes(), digest_size=16).digest(), float(onset.mean()), float(onset.std()))


def _excerpts(notes: Notes, seconds: float) -> Iterator[Part]:
    """Parts of so many seconds, one after another, in which every note is struck; silence between them is left out.

    The last one overlaps the one before, if it would else be shorter. Times are whole milliseconds.
    """
    first = start = _before(notes, 0.0)
    while True:
        if start + seconds >= notes.end:
            start = max(first, _milliseconds(notes.end - seconds))
        end = round(start + seconds, 3)
        yield _part(notes, start, end)
        if not (notes.onset >= end).any():
            return
        start = _before(notes, end)


def _before(notes: Notes, earliest: float) -> float:
    """A moment shortly before the first note that is struck from ``earliest`` on."""
    onset = notes.onset[np.searchsorted(notes.onset, earliest)]
    return max(earliest, _milliseconds(float(onset) - LEAD_SECONDS))


def _milliseconds(seconds: float) -> float:
    """Rounded down."""
    return math.floor(1000 * seconds) / 1000


def _part(notes: Notes, start: float, end: float) -> Part:
    inside = (notes.onset >= start) & (notes.onset < end)
    pitch = notes.pitch[inside]
    last = min(float(notes.offset[inside].max()), end)
    return Part(start, end, last - start, int(pitch.min()), int(pitch.max()))
