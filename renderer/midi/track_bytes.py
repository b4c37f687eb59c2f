"""A track of a MIDI file, made of arrays: libraries make an object of every event, which takes ten times as long."""

import numpy as np
from numpy.typing import NDArray

from renderer.midi.notes import IntArray

CONTROL, NOTE_OFF, NOTE_ON = 0xB0, 0x80, 0x90
"""What an event of the first channel is, as its first byte; at one tick they come in this order."""

_RANK = np.zeros(256, np.int64)
_RANK[[CONTROL, NOTE_OFF, NOTE_ON]] = range(3)
_DELTA_BYTES, _SEVEN_BITS = 4, 7
_END = b"\x01\xff\x2f\x00"
"""A tick after the last event."""


def chunk(kind: bytes, content: bytes) -> bytes:
    """A piece of a MIDI file: four letters, the length, the content."""
    return kind + len(content).to_bytes(4, "big") + content


def track_bytes(
    head: bytes, status: IntArray, first: IntArray, second: IntArray, tick: IntArray, end: IntArray
) -> bytes:
    """A track with events (N,), each a status and two values, in any order, behind a ``head`` at tick 0.

    Of notes that begin at one tick, those come first that have the earlier ``end``. An event that has the status of
    the one before it goes without.
    """
    order = np.lexsort((np.where(status == NOTE_ON, end, 0), _RANK[status], tick))
    status, tick = status[order], tick[order]
    delta = np.diff(tick, prepend=0)
    # As many bytes of 7 bits as each delta needs, the highest first; all but the last have the eighth bit.
    shifts = _SEVEN_BITS * np.arange(_DELTA_BYTES - 1, -1, -1)
    parts = delta[:, None] >> shifts
    columns: NDArray[np.uint8] = np.empty((len(order), _DELTA_BYTES + 3), np.uint8)
    columns[:, :_DELTA_BYTES] = parts & 0x7F | np.where(shifts, 0x80, 0)
    columns[:, _DELTA_BYTES:] = np.stack([status, first[order], second[order]], axis=1)
    written = np.ones(columns.shape, np.bool_)
    written[:, : _DELTA_BYTES - 1] = parts[:, :-1] > 0
    written[1:, _DELTA_BYTES] = status[1:] != status[:-1]
    return chunk(b"MTrk", head + columns[written].tobytes() + _END)
