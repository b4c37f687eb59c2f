"""Which note-off ends which strike; README.md beside this file states the rule whole, with examples and reasons.

A piano key that is struck again was let go before. So a key's strikes and note-offs are looked at in groups: strikes
with no note-off between them, and the note-offs up to the next strike. Within a group they are matched first in, first
out. Where note-offs are fewer, the last strikes have them; where they are more, the rest means nothing. A note-off at
the very tick of the last strike belongs to the group's first, be it that strike itself, which then has no length.
What is lost or doubled is so felt by its own group alone.

Of nearly all keys each strike has a note-off at a later tick and before the next strike. These are paired as arrays;
the others, and those of channels where a controller ends notes, one by one.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from renderer.midi.notes import BoolArray, IntArray
from renderer.midi.track import CONTROL, NOTE_ON, NOTES_OFF, Track

DRUM_CHANNEL = 9
_NEVER = 2**62
_CHANNELS, _KEYS = 16, 128
_ENDS_NOTES = np.isin(np.arange(_KEYS), list(NOTES_OFF))

_Stray = tuple[int, int, int]
"""Tick, channel and key of a note-off that ends nothing."""


@dataclass(eq=False, slots=True)
class _Strike:
    """A key struck at the tick ``onset`` by a ``message`` of its track.

    ``offset`` is where it is let go, None as long as no note-off is known; ``elsewhere`` that this note-off stood on
    another track or channel; ``again`` where its own track and channel strike the key again, if there is no note-off.
    """

    track: int
    message: int
    channel: int
    pitch: int
    velocity: int
    onset: int
    offset: int | None = None
    elsewhere: bool = False
    again: int = _NEVER


@dataclass(frozen=True, eq=False)
class Pairing:
    """Every strike of a file but drums, track by track in their order; ``drums`` counts those.

    Strikes (N, 8) are track, channel, key, velocity, onset, offset, whether a note-off was found, and whether that was
    on another track or channel. Where none was, the offset is where the track strikes the key again, or ends.
    ``stray_offs`` are note-offs that end nothing, ``notes_off`` strikes that a controller ended.
    """

    strikes: IntArray
    drums: int
    stray_offs: int
    notes_off: int


def pair(tracks: Sequence[Track]) -> Pairing:
    """Find the end of each strike: in its own track and channel, or else in its channel, or else in its key.

    All notes off (controller 123, 124 to 127, and 120) counts as a note-off for every key of its channel that was
    struck before its tick. On other tracks, it ends only what has no note-off of its own.
    """
    plain: list[IntArray] = []
    strikes: list[_Strike] = []
    waiting: list[_Strike] = []
    strays: list[_Stray] = []
    all_off: list[tuple[int, int]] = []
    drums = notes_off = 0
    for number, track in enumerate(tracks):
        alternating, others = _divided(track.messages)
        plain.append(_paired(number, track.messages, alternating))
        keys = _Keys()
        for message, (tick, kind, channel, what, value) in zip(
            others.tolist(), track.messages[others].tolist(), strict=True
        ):
            if kind == CONTROL:
                keys.release_all(channel, tick)
                all_off.append((tick, channel))
            elif channel == DRUM_CHANNEL:
                drums += kind == NOTE_ON
            elif kind == NOTE_ON:
                strikes.append(strike := _Strike(number, message, channel, what, value, tick))
                keys.strike(channel, strike)
            else:
                keys.release(channel, what, tick)
        keys.settle()
        waiting += keys.waiting
        strays += keys.strays
        notes_off += keys.notes_off
    for by_channel in (True, False):
        if waiting:
            strays = _match(waiting, strays, all_off if by_channel else [], by_channel)
            waiting = [strike for strike in waiting if strike.offset is None]
    return Pairing(_in_order([*plain, _table(strikes, tracks)]), drums, len(strays), notes_off)


def _divided(messages: IntArray) -> tuple[IntArray, IntArray]:
    """The messages (M, 5) of keys of which each strike has its note-off before the next, by their places, key by key.

    Then those that are to be looked at one by one, in their order: of other keys, and all notes off. What has no
    meaning for notes is among neither.
    """
    tick, kind, channel, what, _ = messages.T
    is_control = kind == CONTROL
    all_off = is_control & _ENDS_NOTES[what]
    notes = np.flatnonzero(~is_control)
    key = channel[notes] * _KEYS + what[notes]
    order = np.argsort(key, kind="stable")
    notes, key = notes[order], key[order]
    is_wrong = np.zeros((_CHANNELS, _KEYS), np.bool_)
    is_wrong.reshape(-1)[key[_is_odd(key, kind[notes] == NOTE_ON, tick[notes])]] = True
    is_wrong[channel[all_off]] = is_wrong[DRUM_CHANNEL] = True
    is_other = is_wrong.reshape(-1)[key]
    return notes[~is_other], np.sort(np.concatenate([notes[is_other], np.flatnonzero(all_off)]))


def _is_odd(key: IntArray, is_on: BoolArray, tick: IntArray) -> BoolArray:
    """Which messages (M,), key by key, are not a strike or its note-off at a later tick, in turn."""
    begins = np.diff(key, prepend=-1) != 0
    place = np.arange(len(key))
    in_key = place - np.maximum.accumulate(np.where(begins, place, 0))
    odd = is_on != (in_key % 2 == 0)
    odd |= is_on & np.append(begins[1:], np.True_)[: len(key)]
    odd |= ~is_on & (np.diff(tick, prepend=-1) <= 0)
    return np.asarray(odd)


def _paired(number: int, messages: IntArray, alternating: IntArray) -> IntArray:
    """The strikes of a track's alternating messages, as rows of :func:`_table`."""
    on, off = messages[alternating[::2]], messages[alternating[1::2]]
    one = np.ones(len(on), np.int64)
    columns = (number * one, on[:, 2], on[:, 3], on[:, 4], on[:, 0], off[:, 0], one, 0 * one, alternating[::2])
    return np.stack(columns, axis=1)


def _table(strikes: Sequence[_Strike], tracks: Sequence[Track]) -> IntArray:
    """Strikes (N, 9) as those of a :class:`Pairing`, and the place of each one's message in its track."""
    rows = [
        (s.track, s.channel, s.pitch, s.velocity, s.onset, min(s.again, tracks[s.track].end), False, False, s.message)
        if s.offset is None
        else (s.track, s.channel, s.pitch, s.velocity, s.onset, s.offset, True, s.elsewhere, s.message)
        for s in strikes
    ]
    return np.array(rows, np.int64).reshape(-1, 9)


def _in_order(tables: Sequence[IntArray]) -> IntArray:
    """The strikes of all tables, track by track, in the order of their messages."""
    rows = np.concatenate(tables)
    return rows[np.lexsort((rows[:, 8], rows[:, 0]))][:, :8]


def _match(
    waiting: list[_Strike], strays: list[_Stray], all_off: list[tuple[int, int]], by_channel: bool
) -> list[_Stray]:
    """Match what tracks have left over, in order of time, note-offs first at each tick; the strays that remain."""
    keys = _Keys()
    again = [strike.again for strike in waiting]
    events: list[tuple[int, int, int, int, _Strike | None]] = [(tick, 0, channel, 0, None) for tick, channel in all_off]
    events += [(tick, 1, channel, pitch, None) for tick, channel, pitch in strays]
    events += [(strike.onset, 2, strike.channel, strike.pitch, strike) for strike in waiting]
    for tick, order, channel, pitch, strike in sorted(events, key=itemgetter(0, 1)):
        place = channel if by_channel else 0
        if strike is not None:
            keys.strike(place, strike)
        elif order == 1:
            keys.release(place, pitch, tick)
        else:
            keys.release_all(place, tick)
    keys.settle()
    for strike, limit in zip(waiting, again, strict=True):
        strike.again = limit
        strike.elsewhere = strike.offset is not None and strike.offset <= limit
        if strike.offset is not None and not strike.elsewhere:
            # Its own track struck the key again before this note-off, which so ends nothing.
            keys.strays.append((strike.offset, strike.channel, strike.pitch))
            strike.offset = None
    return keys.strays


class _Group:
    """A key's strikes since it was at rest, those without a note-off yet; and the note-offs after the last one."""

    __slots__ = ("last", "offs", "strikes")

    def __init__(self, strike: _Strike) -> None:
        self.strikes = deque((strike,))
        self.offs: list[int] = []
        self.last = strike


class _Keys:
    """The keys of some channels, as strikes and note-offs reach them in order of time.

    ``waiting`` are strikes without a note-off; ``strays`` note-offs that end nothing.
    """

    def __init__(self) -> None:
        self.waiting: list[_Strike] = []
        self.strays: list[_Stray] = []
        self.notes_off = 0
        self._groups: defaultdict[int, dict[int, _Group]] = defaultdict(dict)
        self._all_off: dict[int, int] = {}

    def strike(self, channel: int, strike: _Strike) -> None:
        groups = self._groups[channel]
        group = groups.get(strike.pitch)
        if group is None:
            groups[strike.pitch] = _Group(strike)
            return
        if group.offs:
            self._settle(group)
        group.strikes.append(strike)
        group.last = strike

    def release(self, channel: int, pitch: int, tick: int) -> None:
        group = self._groups[channel].get(pitch)
        if group is None:
            self.strays.append((tick, channel, pitch))
        elif len(group.offs) < len(group.strikes):
            if tick > group.last.onset:
                group.offs.append(tick)
            else:
                group.strikes.popleft().offset = tick
        elif tick > group.last.onset == group.last.offset:
            # Of two note-offs, one at the strike's own tick, the other ends it.
            group.last.offset = tick
        else:
            self.strays.append((tick, channel, pitch))

    def release_all(self, channel: int, tick: int) -> None:
        if self._all_off.get(channel) == tick:
            return
        self._all_off[channel] = tick
        kept = {}
        for pitch, group in self._groups[channel].items():
            struck_now = group.last.onset == tick
            ended = sum(strike.onset < tick for strike in group.strikes) - len(group.offs)
            self.notes_off += ended
            if struck_now:
                for _ in range(ended):
                    group.strikes.popleft().offset = tick
                kept[pitch] = group
            else:
                group.offs += [tick] * ended
                self._settle(group)
        self._groups[channel] = kept

    def settle(self) -> None:
        """End what can be ended: no more strikes or note-offs come."""
        for groups in self._groups.values():
            for group in groups.values():
                self._settle(group)

    def _settle(self, group: _Group) -> None:
        strikes, offs = group.strikes, group.offs
        while len(strikes) > len(offs):
            lost = strikes.popleft()
            lost.again = strikes[0].onset if strikes else _NEVER
            self.waiting.append(lost)
        for strike, tick in zip(strikes, offs, strict=True):
            strike.offset = tick
        strikes.clear()
        offs.clear()
