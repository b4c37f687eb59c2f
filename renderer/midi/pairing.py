"""Which note-off ends which strike; README.md beside this file states the rule whole, with examples and reasons.

A piano key that is struck again was let go before. So a key's strikes and note-offs are looked at in groups: strikes
with no note-off between them, and the note-offs up to the next strike. Within a group they are matched first in, first
out. Where note-offs are fewer, the last strikes have them; where they are more, the rest means nothing. A note-off at
the very tick of the last strike belongs to the group's first, be it that strike itself, which then has no length.
What is lost or doubled is so felt by its own group alone.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from renderer.midi.track import CONTROL, NOTE_ON, NOTES_OFF, Track

DRUM_CHANNEL = 9
_NEVER = 2**62

_Stray = tuple[int, int, int]
"""Tick, channel and key of a note-off that ends nothing."""


@dataclass(eq=False, slots=True)
class Strike:
    """A key struck at the tick ``onset``.

    ``offset`` is where it is let go, None as long as no note-off is known; ``elsewhere`` that this note-off stood on
    another track or channel; ``again`` where its own track and channel strike the key again, if there is no note-off.
    """

    track: int
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

    ``stray_offs`` are note-offs that end nothing, ``notes_off`` strikes that a controller ended.
    """

    strikes: list[Strike]
    drums: int
    stray_offs: int
    notes_off: int


def pair(tracks: Sequence[Track]) -> Pairing:
    """Find the end of each strike: in its own track and channel, or else in its channel, or else in its key.

    All notes off (controller 123, 124 to 127, and 120) counts as a note-off for every key of its channel that was
    struck before its tick. On other tracks, it ends only what has no note-off of its own.
    """
    strikes: list[Strike] = []
    waiting: list[Strike] = []
    strays: list[_Stray] = []
    all_off: list[tuple[int, int]] = []
    drums = notes_off = 0
    for number, track in enumerate(tracks):
        keys = _Keys()
        for tick, kind, channel, what, value in track.messages:
            if kind == CONTROL:
                if what in NOTES_OFF:
                    keys.release_all(channel, tick)
                    all_off.append((tick, channel))
            elif channel == DRUM_CHANNEL:
                drums += kind == NOTE_ON
            elif kind == NOTE_ON:
                strikes.append(strike := Strike(number, channel, what, value, tick))
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
    return Pairing(strikes, drums, len(strays), notes_off)


def _match(
    waiting: list[Strike], strays: list[_Stray], all_off: list[tuple[int, int]], by_channel: bool
) -> list[_Stray]:
    """Match what tracks have left over, in order of time, note-offs first at each tick; the strays that remain."""
    keys = _Keys()
    again = [strike.again for strike in waiting]
    events: list[tuple[int, int, int, int, Strike | None]] = [(tick, 0, channel, 0, None) for tick, channel in all_off]
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

    def __init__(self, strike: Strike) -> None:
        self.strikes = deque((strike,))
        self.offs: list[int] = []
        self.last = strike


class _Keys:
    """The keys of some channels, as strikes and note-offs reach them in order of time.

    ``waiting`` are strikes without a note-off; ``strays`` note-offs that end nothing.
    """

    def __init__(self) -> None:
        self.waiting: list[Strike] = []
        self.strays: list[_Stray] = []
        self.notes_off = 0
        self._groups: defaultdict[int, dict[int, _Group]] = defaultdict(dict)
        self._all_off: dict[int, int] = {}

    def strike(self, channel: int, strike: Strike) -> None:
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
