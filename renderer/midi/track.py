"""One track of a MIDI file: its events, read for what decides what a piano plays."""

from dataclasses import dataclass

import numpy as np

from renderer.errors import MidiError
from renderer.midi.notes import IntArray

NOTE_OFF, NOTE_ON, CONTROL = 0x80, 0x90, 0xB0
SUSTAIN, SOSTENUTO, SOUND_OFF, RESET_CONTROLLERS = 64, 66, 120, 121
NOTES_OFF = frozenset({SOUND_OFF, 123, 124, 125, 126, 127})
"""Controllers that end a channel's notes. The mode messages 124 to 127 mean all notes off as well as what they set."""

HEEDED = NOTES_OFF | {SUSTAIN, SOSTENUTO, RESET_CONTROLLERS}
META, END_OF_TRACK, TEMPO = 0xFF, 0x2F, 0x51
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}
"""Data bytes of the system messages, which have no place in a file but are found in some."""

LAST_TICK = 2**40
_LONGEST_NUMBER = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Track:
    """What a track holds, in its order.

    ``messages`` (M, 5) are tick; NOTE_ON, NOTE_OFF or CONTROL; channel; key or controller; velocity or value.
    ``tempos`` are ticks and microseconds per beat; ``end`` is the last tick, ``position`` where reading stopped in the
    file, ``ended`` whether at an end-of-track event. ``events`` counts those of the file so far. ``mended`` counts
    values above 127, read as 127; ``skipped`` tempo changes of fewer than three bytes; ``irregular`` what the
    specification forbids but has one meaning: running status that goes on after a system or meta event, an end-of-track
    event that is not the last.
    """

    messages: IntArray
    tempos: list[tuple[int, int]]
    end: int
    position: int
    ended: bool
    events: int
    mended: int
    skipped: int
    irregular: int


def read_track(data: bytes, position: int, end: int, events: int, most_events: int, *, through: bool) -> Track:
    """Read events from ``position`` on, up to an end-of-track event or exactly to ``end``.

    With ``through``, ``end`` alone counts, and an end-of-track event only where the next track follows it. ``events``
    is how many the file had before, of ``most_events`` that it may have in all.

    Meta and system exclusive events are passed over by their length, whatever they hold; only tempo changes matter.
    Raises MidiError where an event goes beyond ``end``, none can be read, or there are too many.
    """
    messages: list[tuple[int, int, int, int, int]] = []
    tempos: list[tuple[int, int]] = []
    tick = mended = skipped = irregular = status = 0
    interrupted = ended = False
    try:
        while position < end and not ended and events <= most_events:
            events += 1
            delta = data[position]
            position += 1
            if delta > 127:
                delta, position = _number(data, position - 1)
            tick += delta
            first = data[position]
            if first < 128:
                if not status:
                    raise MidiError("damaged: running status with no status before it")
                if interrupted:
                    irregular, interrupted = irregular + 1, False
            else:
                position += 1
                if first < 0xF0:
                    status, kind, channel, interrupted = first, first & 0xF0, first & 0x0F, False
                else:
                    interrupted = True
                    if first == META:
                        meta = data[position]
                        length, position = _number(data, position + 1)
                        if meta == TEMPO and length >= 3:
                            tempos.append((tick, int.from_bytes(data[position : position + 3], "big")))
                        elif meta == TEMPO:
                            skipped += 1
                        elif meta == END_OF_TRACK:
                            ended = not through or data.startswith(b"MTrk", position + length)
                            irregular += not ended and position + length < end
                    elif first in (0xF0, 0xF7):
                        length, position = _number(data, position)
                    elif first in _SYSTEM_BYTES:
                        length = _SYSTEM_BYTES[first]
                    else:
                        raise MidiError(f"damaged: undefined status byte 0x{first:02x}")
                    position += length
                    continue
            if 0xC0 <= kind < 0xE0:
                position += 1
                continue
            what, value = data[position], data[position + 1]
            position += 2
            if kind in (NOTE_ON, NOTE_OFF) or (kind == CONTROL and what in HEEDED):
                if what | value > 127:
                    what, value, mended = min(what, 127), min(value, 127), mended + 1
                messages.append((tick, kind if value or kind == CONTROL else NOTE_OFF, channel, what, value))
    except IndexError:
        position = len(data) + 1
    if events > most_events:
        raise MidiError(f"more than {most_events} events; no more are read from one file")
    if position > end:
        raise MidiError("truncated: an event goes on beyond the end of its track or of the file")
    if tick > LAST_TICK:
        raise MidiError(f"absurd length: a track lasts more than {LAST_TICK} ticks")
    found = np.array(messages, np.int64).reshape(-1, 5)
    return Track(found, tempos, tick, position, ended, events, mended, skipped, irregular)


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the last below 128, and where it ends. Leading zeros may pad it."""
    start, number = position, 0
    while (byte := data[position]) > 127:
        # What is beyond the last tick stays so: a longer number need not be exact.
        number = min(number << 7 | byte & 127, LAST_TICK + 1)
        position += 1
        if position - start >= _LONGEST_NUMBER:
            raise MidiError(f"damaged: {_LONGEST_NUMBER} bytes in a row are above 127 where a number is to end")
    return number << 7 | byte, position + 1
