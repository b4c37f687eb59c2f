"""What is played in a MIDI file, in its ticks: strikes and releases, the sustain pedal, tempo changes."""

import io
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import MidiError
from renderer.midi.notes import LONGEST_SECONDS, BoolArray, IntArray

if TYPE_CHECKING:
    import mido

DRUM_CHANNEL = 9
SUSTAIN, PRESSED_FROM = 64, 64
"""The sustain pedal's controller, and the value from which it counts as pressed."""

_LAST_TICK = 2**40
_LONGEST_NUMBER = 4096
_TEMPO_META, _TEXT_META = 0x51, 0x01


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


@dataclass(frozen=True, eq=False)
class MidiEvents:
    """What is played in a file, in ticks from its start; tracks are numbered as they stand in the file.

    Notes (N,), track by track in the order of their strikes, without drums: ``track``, ``channel``,
    ``pitch``, ``velocity``, ``onset``, ``offset`` and ``closed``, whether a note-off was found; where none
    was, the note ends with its track. Sustain pedal (P,) of all tracks, in order of time: ``pedal_tick``,
    ``pedal_channel``, ``pedal_down``. Tempo changes (C,) of all tracks, in order of time: ``tempo_tick``,
    ``tempo`` in microseconds per beat. ``division`` is the header's, ``drums`` the number of strikes left
    out, ``end`` the last tick.
    """

    division: int
    end: int
    drums: int
    track: IntArray
    channel: IntArray
    pitch: IntArray
    velocity: IntArray
    onset: IntArray
    offset: IntArray
    closed: BoolArray
    pedal_tick: IntArray
    pedal_channel: IntArray
    pedal_down: BoolArray
    tempo_tick: IntArray
    tempo: IntArray


def read_events(data: bytes, limits: MidiLimits) -> MidiEvents:
    """The events of a MIDI file of type 0 or 1, of all its tracks and channels.

    A note-off (or a note-on of velocity 0) closes the oldest open note of its track, channel and pitch,
    unless that was struck at the same tick: the published tokenizer's rule.

    Raises MidiError, without a path, where the file is damaged or beyond the limits.
    """
    midi = _parsed(data, limits)
    notes: list[list[int]] = []
    pedal: list[tuple[int, int, bool]] = []
    tempos: list[tuple[int, int]] = []
    drums = end = 0
    for number, track in enumerate(midi.tracks):
        tick = 0
        sounding: defaultdict[tuple[int, int], deque[list[int]]] = defaultdict(deque)
        for message in track:
            tick += message.time
            kind = message.type
            if kind == "note_on" and message.velocity and message.channel == DRUM_CHANNEL:
                drums += 1
            elif kind == "note_on" and message.velocity:
                note = [number, message.channel, message.note, message.velocity, tick, tick, False]
                notes.append(note)
                sounding[message.channel, message.note].append(note)
            elif kind in ("note_on", "note_off"):
                opened = sounding[message.channel, message.note]
                if opened and tick > opened[0][4]:
                    opened.popleft()[5:] = tick, True
            elif kind == "control_change" and message.control == SUSTAIN:
                pedal.append((tick, message.channel, message.value >= PRESSED_FROM))
            elif kind == "set_tempo":
                tempos.append((tick, message.tempo))
        if tick > _LAST_TICK:
            raise MidiError(f"absurd length: track {number} lasts more than {_LAST_TICK} ticks")
        for opened in sounding.values():
            for note in opened:
                note[5] = tick
        end = max(end, tick)
    if len(notes) + drums > limits.notes:
        raise MidiError(f"{len(notes) + drums} notes; at most {limits.notes} are read from one file")
    _check_tempos(tempos, limits)
    track_number, channel, pitch, velocity, onset, offset, closed = np.array(notes, np.int64).reshape(-1, 7).T
    pedal_tick, pedal_channel, pedal_down = np.array(sorted(pedal, key=_time), np.int64).reshape(-1, 3).T
    tempo_tick, tempo = np.array(sorted(tempos, key=_time), np.int64).reshape(-1, 2).T
    return MidiEvents(
        division=midi.ticks_per_beat,
        end=end,
        drums=drums,
        track=track_number,
        channel=channel,
        pitch=pitch,
        velocity=velocity,
        onset=onset,
        offset=offset,
        closed=closed.astype(np.bool_),
        pedal_tick=pedal_tick,
        pedal_channel=pedal_channel,
        pedal_down=pedal_down.astype(np.bool_),
        tempo_tick=tempo_tick,
        tempo=tempo,
    )


def _parsed(data: bytes, limits: MidiLimits) -> "mido.MidiFile":
    import mido

    if not data.startswith(b"MThd"):
        raise MidiError("not a MIDI file: it does not begin with MThd")
    # A number in the file has no end but a byte below 128, and mido's time for it grows with its square.
    if re.search(rb"[\x80-\xff]{%d}" % _LONGEST_NUMBER, data):
        raise MidiError(f"damaged: {_LONGEST_NUMBER} bytes in a row are above 127")
    try:
        # Values above 127 are read as 127: they occur as velocities and in system exclusive data.
        midi = mido.MidiFile(file=_EventStream(data, limits.events), clip=True)
    except MidiError:
        raise
    except EOFError as error:
        raise MidiError("truncated: the file ends before its last track does") from error
    # A damaged file can make mido raise nearly anything.
    except Exception as error:
        raise MidiError(f"damaged: {error or type(error).__name__}") from error
    if midi.type not in (0, 1, 2) or (midi.type == 2 and len(midi.tracks) > 1):
        raise MidiError(f"MIDI type {midi.type}: only type 0 and 1, whose tracks sound together, can be rendered")
    return midi


class _EventStream(io.BytesIO):
    """A MIDI file for mido, which asks for the position before each event: time to count it, and to mend it.

    mido refuses a whole file for a key signature that does not exist, and loses the time before a meta
    event that it does not know. No meta event but a tempo matters here, so every other one is handed to it
    as text.
    """

    def __init__(self, data: bytes, limit: int) -> None:
        super().__init__(data)
        self._data = data + bytes(3)
        self._limit = limit
        self._events = 0

    def tell(self) -> int:
        self._events += 1
        if self._events > self._limit:
            raise MidiError(f"more than {self._limit} events; no more are read from one file")
        position = super().tell()
        data, status = self._data, position
        while data[status] > 127:
            status += 1
        status += 1
        if data[status] == 0xFF and data[status + 1] != _TEMPO_META:
            with self.getbuffer() as buffer:
                buffer[status + 1] = _TEXT_META
        return position


def _time(event: tuple[int, ...]) -> int:
    return event[0]


def _check_tempos(tempos: list[tuple[int, int]], limits: MidiLimits) -> None:
    for tick, beat in tempos:
        if beat < limits.beat * 1e6:
            raise MidiError(f"absurd tempo: a beat of {beat} microseconds at tick {tick}")
