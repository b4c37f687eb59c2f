"""What a MIDI file may hold."""

from dataclasses import dataclass

LONGEST_SECONDS = 4 * 3600.0
"""No performance lasts longer, in its file or at the tempo at which it is to be played."""


@dataclass(frozen=True)
class MidiLimits:
    """What a file may hold. Beyond it the file is refused, early enough to cost neither time nor memory.

    ``bytes`` is the file's size, ``events`` its messages of every kind, ``notes`` its strikes, ``seconds``
    the time of its last offset, and ``beat`` the shortest beat in seconds that a tempo may set.
    """

    bytes: int = 4 * 2**20
    events: int = 500_000
    notes: int = 200_000
    seconds: float = LONGEST_SECONDS
    beat: float = 0.001
