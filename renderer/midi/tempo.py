"""Ticks to seconds."""

import numpy as np

from renderer.errors import MidiError
from renderer.midi.notes import FloatArray, IntArray

DEFAULT_TEMPO = 500_000
"""Microseconds per beat until a file says otherwise: 120 beats per minute."""


class TempoMap:
    """A MIDI file's clock: at which second a tick falls.

    ``division`` is the file header's. Positive, it is the ticks of a beat, and ``ticks`` and ``tempos``
    (C,) are the tempo changes of all tracks in order of time, in microseconds per beat; of several at one
    tick the last counts. Negative, it holds SMPTE frames per second and ticks per frame, and tempo changes
    mean nothing. Raises MidiError for any other division.
    """

    def __init__(self, division: int, ticks: IntArray, tempos: IntArray) -> None:
        if division > 0:
            self._ticks = np.append(0, ticks)
            self._seconds_per_tick = np.append(DEFAULT_TEMPO, tempos) / 1e6 / division
        else:
            self._ticks = np.zeros(1, np.int64)
            self._seconds_per_tick = np.array([1 / _smpte_ticks_per_second(division)])
        spans = np.diff(self._ticks) * self._seconds_per_tick[:-1]
        self._seconds = np.append(0.0, np.cumsum(spans))

    def seconds(self, ticks: IntArray) -> FloatArray:
        """The time of each tick (N,) in seconds from the file's start."""
        change = np.searchsorted(self._ticks, ticks, side="right") - 1
        seconds: FloatArray = self._seconds[change] + (ticks - self._ticks[change]) * self._seconds_per_tick[change]
        return seconds


def _smpte_ticks_per_second(division: int) -> float:
    frames_per_second, ticks_per_frame = -(division >> 8), division & 0xFF
    if frames_per_second not in (24, 25, 29, 30) or ticks_per_frame == 0:
        raise MidiError(f"the header's time division {division} is neither ticks per beat nor SMPTE time")
    # 29 stands for the 29.97 frames per second of NTSC.
    return ticks_per_frame * (30_000 / 1_001 if frames_per_second == 29 else frames_per_second)
