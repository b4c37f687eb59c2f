"""What is played in a MIDI file, in its ticks: strikes and releases, pedals, tempo changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from renderer.errors import MidiError
from renderer.midi.chunks import Damage, read_chunks
from renderer.midi.limits import MidiLimits
from renderer.midi.notes import BoolArray, IntArray
from renderer.midi.pairing import pair
from renderer.midi.track import CONTROL, RESET_CONTROLLERS, SOSTENUTO, SOUND_OFF, SUSTAIN

PRESSED_FROM = 64
"""The value from which a pedal counts as pressed."""


@dataclass(frozen=True, eq=False)
class PedalEvents:
    """A pedal's (P,) events of all tracks, in order of time: tick, channel, and whether it is pressed or lifted."""

    tick: IntArray
    channel: IntArray
    down: BoolArray

    def of(self, channel: int) -> "PedalEvents":
        """Those of one channel."""
        here = self.channel == channel
        return PedalEvents(self.tick[here], self.channel[here], self.down[here])


@dataclass(frozen=True, eq=False)
class MidiEvents:
    """What is played in a file, in ticks from its start; tracks are numbered as they stand in the file.

    Notes (N,), track by track in the order of their strikes, without drums: ``track``, ``channel``, ``pitch``,
    ``velocity``, ``onset``, ``offset``; ``closed``, whether a note-off was found, without which the note ends where its
    track strikes the key again, or with the track; ``elsewhere``, whether that was on another track or channel. A note
    may have no length.

    ``sustain`` and ``sostenuto`` are pedals; ``silenced_tick`` and ``silenced_channel`` (S,) where a channel is
    silenced at once. Tempo changes (C,) of all tracks, in order of time: ``tempo_tick``, ``tempo`` in microseconds per
    beat. ``division`` is the header's, ``end`` the last tick, ``damage`` what was mended. ``drums`` counts strikes left
    out, ``stray_offs`` note-offs that end nothing, ``notes_off`` notes that a controller ends.
    """

    division: int
    end: int
    damage: Damage
    drums: int
    stray_offs: int
    notes_off: int
    track: IntArray
    channel: IntArray
    pitch: IntArray
    velocity: IntArray
    onset: IntArray
    offset: IntArray
    closed: BoolArray
    elsewhere: BoolArray
    sustain: PedalEvents
    sostenuto: PedalEvents
    silenced_tick: IntArray
    silenced_channel: IntArray
    tempo_tick: IntArray
    tempo: IntArray


def read_events(data: bytes, limits: MidiLimits) -> MidiEvents:
    """The events of a MIDI file of type 0 or 1, of all its tracks and channels.

    Raises MidiError, without a path, where the file cannot be read or is beyond the limits.
    """
    chunks = read_chunks(data, limits.events)
    tracks = chunks.tracks
    pairing = pair(tracks)
    if len(pairing.strikes) + pairing.drums > limits.notes:
        raise MidiError(f"{len(pairing.strikes) + pairing.drums} notes; at most {limits.notes} are read from one file")
    notes = [
        (s.track, s.channel, s.pitch, s.velocity, s.onset, min(s.again, tracks[s.track].end), False, False)
        if s.offset is None
        else (s.track, s.channel, s.pitch, s.velocity, s.onset, s.offset, True, s.elsewhere)
        for s in pairing.strikes
    ]
    track, channel, pitch, velocity, onset, offset, closed, elsewhere = _columns(notes, 8)
    tempos = sorted((tempo for track in tracks for tempo in track.tempos), key=_tick)
    for tick, beat in tempos:
        if beat < limits.beat * 1e6:
            raise MidiError(f"absurd tempo: a beat of {beat} microseconds at tick {tick}")
    tempo_tick, tempo = _columns(tempos, 2)
    controls = sorted(
        ((tick, on, what, value) for t in tracks for tick, kind, on, what, value in t.messages if kind == CONTROL),
        key=_tick,
    )
    silenced_tick, silenced_channel = _columns([(c[0], c[1]) for c in controls if c[2] == SOUND_OFF], 2)
    return MidiEvents(
        division=chunks.division,
        end=max(track.end for track in tracks),
        damage=chunks.damage,
        drums=pairing.drums,
        stray_offs=pairing.stray_offs,
        notes_off=pairing.notes_off,
        track=track,
        channel=channel,
        pitch=pitch,
        velocity=velocity,
        onset=onset,
        offset=offset,
        closed=closed.astype(np.bool_),
        elsewhere=elsewhere.astype(np.bool_),
        sustain=_pedal(controls, SUSTAIN),
        sostenuto=_pedal(controls, SOSTENUTO),
        silenced_tick=silenced_tick,
        silenced_channel=silenced_channel,
        tempo_tick=tempo_tick,
        tempo=tempo,
    )


def _pedal(controls: Sequence[tuple[int, int, int, int]], pedal: int) -> PedalEvents:
    """A pedal's events; to reset all controllers of a channel lifts it."""
    events = [
        (tick, channel, what == pedal and value >= PRESSED_FROM)
        for tick, channel, what, value in controls
        if what in (pedal, RESET_CONTROLLERS)
    ]
    tick, channel, down = _columns(events, 3)
    return PedalEvents(tick, channel, down.astype(np.bool_))


def _columns(rows: Sequence[tuple[int, ...]], count: int) -> IntArray:
    return np.array(rows, np.int64).reshape(-1, count).T


def _tick(event: tuple[int, ...]) -> int:
    return event[0]
