"""Notes to octuple rows, the tokens that both transformers read: the published rule table and nothing else.

A row is (pitch, velocity, duration, inter-onset interval, position, bar). Times are integers on a grid of 192
per second, that is 96 per beat at 120 BPM; a bar of four beats is 2 s. The rules are those of the published
tokenizer (MIDI-VALLE, arXiv 2507.08530, and its code), which reads the ticks of files written at 120 BPM.
"""

from typing import Literal

import numpy as np

from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY, FloatArray, IntArray, Notes

VOCABULARIES = (92, 68, 1156, 772, 388, 20)
"""Ids per column: pitch, velocity, duration, inter-onset interval, position, bar."""

PAD_ID, BOS_ID, EOS_ID = 0, 1, 2

GRID_PER_SECOND = 192
GRID_PER_BEAT = 96
GRID_PER_BAR = 384
MAX_BARS = 16
MAX_SECONDS = MAX_BARS * GRID_PER_BAR / GRID_PER_SECOND
"""What a row can say ends here: 32 s, prompt included."""

LONGEST_DURATION = 1152
LONGEST_INTERVAL = 383

TimeGrid = Literal["published", "direct"]
"""How seconds meet the grid: over the published files' 1/440 s, or at once."""

_PUBLISHED_TICKS_PER_BEAT = 220
_PUBLISHED_TICKS_PER_SECOND = 440


def octuple_rows(start: IntArray, duration: IntArray, pitch: IntArray, velocity: IntArray) -> IntArray:
    """Rows (S, 6) int64 of S notes in the given order; ``start`` and ``duration`` (S,) are on the grid.

    Durations clamp to 1..1152 (6 s), intervals to 383 (1.995 s). Nothing else is checked: a bar after the
    sixteenth gets an id beyond its vocabulary.
    """
    interval = np.diff(start, prepend=start[:1])
    return np.stack(
        [
            pitch - 17,
            4 + velocity // 2,
            3 + np.clip(duration, 1, LONGEST_DURATION),
            388 + np.minimum(interval, LONGEST_INTERVAL),
            4 + start % GRID_PER_BAR,
            4 + start // GRID_PER_BAR,
        ],
        axis=1,
    ).astype(np.int64)


def rows_of_ticks(
    onset: IntArray, duration: IntArray, pitch: IntArray, velocity: IntArray, ticks_per_beat: int
) -> IntArray:
    """Rows (S, 6) of notes in a file's ticks (S,), tempo ignored: sorted by (onset, pitch, duration).

    Onset and duration are brought to the grid each on its own, halves up.
    """
    order = np.lexsort((duration, pitch, onset))
    start, length = (
        (2 * GRID_PER_BEAT * ticks[order] + ticks_per_beat) // (2 * ticks_per_beat) for ticks in (onset, duration)
    )
    return octuple_rows(start, length, pitch[order], velocity[order])


def rows_of(notes: Notes, grid: TimeGrid) -> IntArray:
    """Rows (S, 6) int64 of a segment's notes, its prompt's included, without BOS and EOS.

    ``published`` rounds onsets and offsets to 1/440 s first, as the published training files are, and
    orders the notes by that; ``direct`` rounds onset and duration to 1/192 s at once and keeps the order of
    ``notes``. Halves go to the even neighbour, but up from 1/440 s to the grid.

    Raises ValueError where a pitch is not on the keyboard, or an onset is negative or at or after 32 s.
    """
    if len(notes) and (notes.pitch.min() < LOWEST_KEY or notes.pitch.max() > HIGHEST_KEY):
        raise ValueError(f"pitches must be {LOWEST_KEY}..{HIGHEST_KEY}, not {notes.pitch.min()}..{notes.pitch.max()}")
    if len(notes) and notes.onset[0] < 0:
        raise ValueError(f"the first onset is {notes.onset[0]} s; it must be 0 or later")
    if grid == "published":
        onset = _rounded(notes.onset * _PUBLISHED_TICKS_PER_SECOND)
        offset = _rounded(notes.offset * _PUBLISHED_TICKS_PER_SECOND)
        rows = rows_of_ticks(onset, offset - onset, notes.pitch, notes.velocity, _PUBLISHED_TICKS_PER_BEAT)
    elif grid == "direct":
        start, duration = (_rounded(seconds * GRID_PER_SECOND) for seconds in (notes.onset, notes.duration))
        rows = octuple_rows(start, duration, notes.pitch, notes.velocity)
    else:
        raise ValueError(f"grid is {grid!r}; it must be 'published' or 'direct'")
    if len(rows) and rows[-1, 5] >= VOCABULARIES[5]:
        raise ValueError(f"the last onset is {notes.onset[-1]} s; a segment and its prompt must end by {MAX_SECONDS} s")
    return rows


def with_markers(rows: IntArray) -> IntArray:
    """Rows (S, 6) between a BOS row and an EOS row: (S + 2, 6)."""
    return np.pad(rows, ((1, 1), (0, 0)), constant_values=((BOS_ID, EOS_ID), (0, 0)))


def _rounded(values: FloatArray) -> IntArray:
    return np.rint(values).astype(np.int64)
