"""Which 3 s of a performance make good prompts, by its notes alone."""

from dataclasses import dataclass

import numpy as np

from renderer.midi.notes import FloatArray, IntArray, Notes
from renderer.prompt import PROMPT_SECONDS

FEWEST_NOTES = 4
"""So many must begin in a window: of fewer nothing says for sure that the audio fits."""

_LEAD_SECONDS = 0.12
"""A window begins so long before a strike, which is then heard whole."""

_MANY_NOTES, _MANY_KEYS, _WIDE_SPAN = 12, 10, 36
_PER_NOTE_SOUNDING, _PER_NOTE_CUT, _MOST_COUNTED = 0.25, 0.1, 4
"""What a note costs that sounds already as a window begins, in the audio but not in its notes, or at its end."""


@dataclass(frozen=True)
class PromptWindow:
    """3 s from ``start`` on, in seconds, in which ``notes`` begin, on so many different ``keys``.

    ``sounding_at_start`` and ``cut_at_end`` count notes that go on over its edges.
    """

    start: float
    notes: int
    keys: int
    sounding_at_start: int
    cut_at_end: int
    score: float

    @property
    def end(self) -> float:
        """Where it ends, in seconds."""
        return self.start + PROMPT_SECONDS


def best_windows(notes: Notes, most: int, begin: float, end: float) -> list[PromptWindow]:
    """At most so many windows between two times that do not overlap, the best first.

    Good are many notes, on many keys that lie far apart, sound throughout, and few notes that go on over the edges. A
    window begins shortly before a strike, where that is possible.
    """
    if end - begin < PROMPT_SECONDS or not len(notes):
        return []
    starts = np.unique(np.clip(notes.onset - _LEAD_SECONDS, begin, end - PROMPT_SECONDS))
    first = np.searchsorted(notes.onset, starts)
    last = np.searchsorted(notes.onset, starts + PROMPT_SECONDS)
    has_enough = last - first >= FEWEST_NOTES
    starts, first, last = starts[has_enough], first[has_enough], last[has_enough]
    found = [_window(*values) for values in zip(*_columns(notes, starts, first, last), strict=True)]
    chosen: list[PromptWindow] = []
    for window in sorted(found, key=lambda each: (-each.score, each.start)):
        if len(chosen) == most:
            break
        if all(abs(window.start - other.start) >= PROMPT_SECONDS for other in chosen):
            chosen.append(window)
    return chosen


def _columns(notes: Notes, starts: FloatArray, first: IntArray, last: IntArray) -> list[list[float]]:
    """Of each window: start, notes, keys, semitones between the outer, notes over both edges, share that sounds."""
    offsets = np.sort(notes.offset)
    ends = starts + PROMPT_SECONDS
    over_start = first - np.searchsorted(offsets, starts, side="right")
    over_end = last - np.searchsorted(offsets, ends, side="right")
    pitches = [notes.pitch[begin:end] for begin, end in zip(first, last, strict=True)]
    keys = np.array([len(np.unique(pitch)) for pitch in pitches])
    span = np.array([np.ptp(pitch) for pitch in pitches])
    sounding = (_sounding_before(notes, ends) - _sounding_before(notes, starts)) / PROMPT_SECONDS
    return [each.tolist() for each in (starts, last - first, keys, span, over_start, over_end, sounding)]


def _window(
    start: float, notes: float, keys: float, span: float, over_start: float, over_end: float, sounding: float
) -> PromptWindow:
    rich = min(notes / _MANY_NOTES, 1) + min(keys / _MANY_KEYS, 1) + min(span / _WIDE_SPAN, 1) / 2 + sounding
    torn = _PER_NOTE_SOUNDING * min(over_start, _MOST_COUNTED) + _PER_NOTE_CUT * min(over_end, _MOST_COUNTED)
    return PromptWindow(start, int(notes), int(keys), int(over_start), int(over_end), rich - torn)


def _sounding_before(notes: Notes, times: FloatArray) -> FloatArray:
    """For each time (T,) the seconds before it in which any note sounds."""
    until = np.maximum.accumulate(notes.offset)
    # Where a note begins after all before it have ended, silence ends.
    begin = np.flatnonzero(notes.onset > np.concatenate([[-np.inf], until[:-1]]))
    onset, end = notes.onset[begin], until[np.append(begin[1:], len(notes)) - 1]
    whole = np.concatenate([[0.0], np.cumsum(end - onset)])
    place = np.searchsorted(onset, times, side="right")
    within = np.where(place > 0, np.minimum(times, end[place - 1]) - onset[place - 1], 0.0)
    return whole[np.maximum(place - 1, 0)] + within
