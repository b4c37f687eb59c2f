"""A track as nearly all are written, read as arrays: as event by event, but in a fraction of the time."""

import numpy as np
import numpy.typing as npt

from renderer.midi.track import CONTROL, END_OF_TRACK, HEEDED, LAST_TICK, META, NOTE_OFF, NOTE_ON, TEMPO, Track

FEWEST_BYTES = 256
"""Of a shorter track, arrays take longer to make than its events to read."""

_DELTA_BYTES, _PADDING = 4, 8

_Bytes = npt.NDArray[np.uint8]
_Places = npt.NDArray[np.int64]


def _sizes() -> _Places:
    """How many bytes an event has by the first after its delta time; data of system events comes on top of them."""
    sizes = np.zeros(256, np.int64)
    sizes[:0x80] = 2  # Running status.
    sizes[0x80:0xF0] = 3
    sizes[0xC0:0xE0] = 2
    sizes[[0xF0, 0xF7]] = 2
    sizes[META] = 3
    return sizes


_SIZES = _sizes()
_IS_HEEDED = np.isin(np.arange(256), sorted(HEEDED))


def read_regular_track(data: bytes, start: int, end: int, events: int, most_events: int) -> Track | None:
    """What ``read_track`` makes of the bytes from ``start`` through to ``end``; None where any of them are unusual.

    That is what it would mend or refuse, and what is so rare that it need not be fast. For every byte it is worked out
    where an event would end that began there; which do begin one shows when they are followed from the first.
    """
    if end - start < FEWEST_BYTES:
        return None
    body = np.concatenate([np.frombuffer(data, np.uint8, end - start, start), np.zeros(_PADDING, np.uint8)])
    heads, ends = _heads_and_ends(body)
    places = _followed(ends)
    if places is None or events + len(places) > most_events:
        return None
    head, first = heads[places], body[heads[places]]
    tick = np.cumsum(_numbers(body, places, head))
    messages = _messages(body, head, first, tick)
    tempos = _tempos(body, head, first, tick)
    finals = ends[places][(first == META) & (body[head + 1] == END_OF_TRACK)] + start
    if messages is None or tempos is None or tick[-1] > LAST_TICK:
        return None
    if any(data.startswith(b"MTrk", final) for final in finals[finals < end].tolist()):
        return None
    ended = bool(len(finals)) and finals[-1] == end and data.startswith(b"MTrk", end)
    irregular = int((finals < end).sum())
    return Track(messages, tempos, int(tick[-1]), end, ended, events + len(places), 0, 0, irregular)


def _heads_and_ends(body: _Bytes) -> tuple[_Places, _Places]:
    """Of an event at each byte, where its delta time is over, and where it ends: beyond the track if it is unusual."""
    count = len(body) - _PADDING
    place = np.arange(count)
    goes_on = body > 127
    more, head = goes_on[:count], place + 1
    for further in range(1, _DELTA_BYTES):
        head = head + more
        more = more & goes_on[further : count + further]
    first = body[head]
    ends = head + _SIZES[first]
    has_data = (first == META) | (first == 0xF0) | (first == 0xF7)
    length = np.where(has_data, body[ends - 1], 0)
    ends = ends + length
    ends[more | (_SIZES[first] == 0) | (length > 127)] = count + 1
    return head, ends


def _followed(ends: _Places) -> _Places | None:
    """Where events begin, one where the other ends; None if the last does not end with the track."""
    following, place, end = ends.tolist(), 0, len(ends)
    places: list[int] = []
    while place < end:
        places.append(place)
        place = following[place]
    return np.array(places) if place == end else None


def _numbers(body: _Bytes, places: _Places, heads: _Places) -> _Places:
    """The delta times that lie from ``places`` up to ``heads``."""
    number = np.zeros(len(places), np.int64)
    for further in range(_DELTA_BYTES):
        number = np.where(places + further < heads, number << 7 | body[places + further] & 127, number)
    return number


def _messages(body: _Bytes, head: _Places, first: _Bytes, tick: _Places) -> _Places | None:
    """The messages that are heeded; None where running status goes on after a system event, or a value is too high."""
    is_running, is_system = first < 0x80, first >= 0xF0
    if is_running[0] or (is_running[1:] & is_system[:-1]).any():
        return None
    stated = np.maximum.accumulate(np.where(is_running | is_system, 0, np.arange(len(first))))
    status = first[stated]
    kind = status & 0xF0
    if (is_running & ((kind == 0xC0) | (kind == 0xD0))).any():
        return None
    data = head + ~is_running
    what, value = body[data], body[data + 1]
    is_note = (kind == NOTE_ON) | (kind == NOTE_OFF)
    kept = ~is_system & (is_note | ((kind == CONTROL) & _IS_HEEDED[what]))
    if ((what | value)[kept] > 127).any():
        return None
    kind = np.where((value == 0) & is_note, NOTE_OFF, kind)
    return np.stack([tick, kind, status & 0x0F, what, value], axis=1)[kept]


def _tempos(body: _Bytes, head: _Places, first: _Bytes, tick: _Places) -> list[tuple[int, int]] | None:
    """Ticks and microseconds per beat; None where they have not three bytes."""
    is_tempo = (first == META) & (body[head + 1] == TEMPO)
    place = head[is_tempo] + 2
    if (body[place] < 3).any():
        return None
    high, middle, low = (body[place + byte].astype(np.int64) for byte in (1, 2, 3))
    return list(zip(tick[is_tempo].tolist(), (high << 16 | middle << 8 | low).tolist(), strict=True))
