"""The pedals that hold dampers up: how long a key sounds after it is released."""

import numpy as np

from renderer.midi.notes import BoolArray, FloatArray, IntArray

LONGEST_HOLD = 6.0
"""Seconds. No note is lengthened by more than the longest duration that a token can say."""


class Pedal:
    """A sustain or sostenuto pedal.

    ``times`` (P,) are the seconds, in order, at which it is pressed or lifted, and ``down`` (P,) which of
    both. A pedal that is still down at ``end``, the end of the file, lifts there.
    """

    def __init__(self, times: FloatArray, down: BoolArray, end: float) -> None:
        self._times = times
        self._down = down
        lifts = np.append(np.where(down, np.inf, times), end)
        self._next_lift = np.minimum.accumulate(lifts[::-1])[::-1]
        self._presses = np.flatnonzero(down & ~np.append(False, down[:-1]))

    def sustained(self, offset: FloatArray) -> FloatArray:
        """Each offset (N,), moved to where the sustain pedal lifts if it is down there.

        Where a key is released at the moment of pedal events, all of these count as having happened.
        """
        last = np.searchsorted(self._times, offset, side="right") - 1
        pressed = (last >= 0) & np.append(self._down, False)[last]
        return np.where(pressed, np.maximum(self._next_lift[last], offset), offset)

    def caught(self, onset: FloatArray, offset: FloatArray) -> FloatArray:
        """Each offset (N,), moved to where the sostenuto pedal lifts if it was pressed while the key was down."""
        presses = np.append(self._presses, len(self._times))
        times = np.append(self._times, -np.inf)
        press = presses[np.searchsorted(times[self._presses], offset, side="left") - 1]
        held = np.maximum(self._next_lift[press], offset)
        return np.where(times[press] >= onset, held, offset)


def one_pedal(channel: IntArray, down: BoolArray) -> BoolArray:
    """Whether any channel's pedal is down after each of all channels' events (P,), which are in order of time."""
    change = np.zeros(len(channel), np.int64)
    for one in np.unique(channel):
        here = channel == one
        change[here] = np.diff(down[here].astype(np.int64), prepend=0)
    pressed: BoolArray = np.cumsum(change) > 0
    return pressed
