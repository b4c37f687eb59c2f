"""The sustain pedal: how long a key sounds after it is released."""

import numpy as np

from renderer.midi.notes import BoolArray, FloatArray

LONGEST_HOLD = 6.0
"""Seconds. No note is lengthened by more than the longest duration that a token can say."""


class Pedal:
    """One channel's sustain pedal.

    ``times`` (P,) are the seconds, in order, at which it is pressed or lifted, and ``down`` (P,) which of
    both. A pedal that is still down at ``end``, the end of the file, lifts there.
    """

    def __init__(self, times: FloatArray, down: BoolArray, end: float) -> None:
        self._times = times
        self._down = down
        lifts = np.append(np.where(down, np.inf, times), end)
        self._next_lift = np.minimum.accumulate(lifts[::-1])[::-1]

    def held(self, offset: FloatArray) -> FloatArray:
        """Each offset (N,), moved to where the pedal lifts if it is down there, by at most ``LONGEST_HOLD``.

        Where a key is released at the moment of pedal events, all of these count as having happened.
        """
        last = np.searchsorted(self._times, offset, side="right") - 1
        pressed = (last >= 0) & self._down[last]
        lift = np.minimum(self._next_lift[last], offset + LONGEST_HOLD)
        return np.where(pressed, np.maximum(lift, offset), offset)
