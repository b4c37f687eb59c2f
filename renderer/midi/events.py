"""What is played in a MIDI file, in its ticks: strikes and releases, pedals, tempo changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from renderer.errors import MidiError
from renderer.midi.chunks import Damage, read_chunks
from renderer.midi.limits import MidiLimits
from renderer.midi.notes import BoolArray, IntArray
from renderer.midi.pairing import pair
from renderer.midi.track import CONTROL, RESET_CONTROLLERS, SOSTENUTO, SOUND_OFF, SUSTAIN, Track

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
    track, channel, pitch, velocity, onset, offset, closed, elsewhere = pairing.strikes.T
    tempos = sorted((tempo for track in tracks for tempo in track.tempos), key=_tick)
    for tick, beat in tempos:
        if beat < limits.beat * 1e6:
            raise MidiError(f"absurd tempo: a beat of {beat} microseconds at tick {tick}")
    tempo_tick, tempo = _columns(tempos, 2)
    controls = _controls(tracks)
    silenced = controls[controls[:, 2] == SOUND_OFF]
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
        silenced_tick=silenced[:, 0],
        silenced_channel=silenced[:, 1],
        tempo_tick=tempo_tick,
        tempo=tempo,
    )


def _controls(tracks: Sequence[Track]) -> IntArray:
    """The controllers of all tracks (C, 4), in order of time: tick, channel, controller, value."""
    messages = np.concatenate([track.messages for track in tracks])
    controls = messages[messages[:, 1] == CONTROL][:, [0, 2, 3, 4]]
    return controls[np.argsort(controls[:, 0], kind="stable")]


def _pedal(controls: IntArray, pedal: int) -> PedalEvents:
    """A pedal's events; to reset all controllers of a channel lifts it."""
    is_heeded = (controls[:, 2] == pedal) | (controls[:, 2] == RESET_CONTROLLERS)
    tick, channel, what, value = controls[is_heeded].T
    return PedalEvents(tick, channel, (what == pedal) & (value >= PRESSED_FROM))


def _columns(rows: Sequence[tuple[int, ...]], count: int) -> IntArray:
    return np.array(rows, np.int64).reshape(-1, count).T


def _tick(event: tuple[int, ...]) -> int:
    return event[0]
