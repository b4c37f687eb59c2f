"""Tracks and keys that are read as arrays come out as those that are read event by event."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.errors import MidiError
from renderer.midi import pairing
from renderer.midi.notes import IntArray
from renderer.midi.regular_track import FEWEST_BYTES, read_regular_track
from renderer.midi.track import CONTROL, NOTE_OFF, NOTE_ON, NOTES_OFF, Track, read_track

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "tok").glob("*.mid"))
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "midi").glob("*.mid"))
TELLING = (0x00, 0x2F, 0x40, 0x51, 0x7F, 0x80, 0x81, 0x90, 0xB0, 0xC0, 0xF0, 0xF7, 0xF8, 0xFF)
MOST = 500_000


def tracks_of(data: bytes) -> list[tuple[int, int]]:
    """Where the events of a whole file's tracks begin and end."""
    found, place = [], 14
    while place < len(data):
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "big")
        found.append((place + 8, end))
        place = end
    return found


def same(one: Track, other: Track) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Track))


@pytest.mark.parametrize("path", [*EXAMPLES, *FIXTURES], ids=lambda path: path.stem)
def test_a_track_as_arrays_is_the_track_event_by_event(path: Path) -> None:
    data = path.read_bytes()
    for start, end in tracks_of(data):
        regular = read_regular_track(data, start, end, 5, MOST)
        if regular is not None:
            assert same(regular, read_track(data, start, end, 5, MOST, through=True))
        assert regular is not None or end - start < FEWEST_BYTES


def test_a_track_with_something_unusual_is_left_alone_or_read_to_the_same_result() -> None:
    random = np.random.default_rng(0)
    data = next(path for path in EXAMPLES if path.stem == "joplin-the-entertainer").read_bytes()
    start, end = max(tracks_of(data), key=lambda places: places[1] - places[0])
    read = 0
    for _ in range(300):
        changed = bytearray(data)
        changed[random.integers(start, end)] = TELLING[random.integers(len(TELLING))]
        regular = read_regular_track(bytes(changed), start, end, 0, MOST)
        if regular is not None:
            read += 1
            assert same(regular, read_track(bytes(changed), start, end, 0, MOST, through=True))
    assert 50 < read < 290


def test_too_many_events_and_events_that_do_not_end_are_left_to_be_refused() -> None:
    data = EXAMPLES[0].read_bytes()
    start, end = max(tracks_of(data), key=lambda places: places[1] - places[0])
    assert read_regular_track(data, start, end, 0, 10) is None
    assert read_regular_track(data, start, end - 1, 0, MOST) is None
    with pytest.raises(MidiError):
        read_track(data, start, end - 1, 0, MOST, through=True)


def track(messages: Sequence[tuple[int, int, int, int, int]]) -> Track:
    end = messages[-1][0] if messages else 0
    return Track(np.array(messages, np.int64).reshape(-1, 5), [], end, 0, True, len(messages), 0, 0, 0)


def one_by_one(messages: IntArray) -> tuple[IntArray, IntArray]:
    """As if no key were regular."""
    _, kind, _, what, _ = messages.T
    heeded = (kind != CONTROL) | np.isin(what, list(NOTES_OFF))
    return np.zeros(0, np.int64), np.flatnonzero(heeded)


MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([NOTE_ON, NOTE_ON, NOTE_OFF, NOTE_OFF, NOTE_OFF, CONTROL]),
        st.sampled_from([0, 1, 9]),
        st.sampled_from([60, 64, 123]),
    ),
    max_size=24,
)


@given(st.lists(MESSAGES, min_size=1, max_size=3))
def test_keys_that_are_paired_as_arrays_are_as_those_paired_one_by_one(drawn: list[list[tuple[int, ...]]]) -> None:
    tracks = []
    for waits in drawn:
        tick, messages = 0, []
        for wait, kind, channel, what in waits:
            tick += wait
            messages.append((tick, kind, channel, what, 64))
        tracks.append(track(messages))
    found = pairing.pair(tracks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "_divided", one_by_one)
        expected = pairing.pair(tracks)
    assert np.array_equal(found.strikes, expected.strikes)
    counts = (found.drums, found.stray_offs, found.notes_off)
    assert counts == (expected.drums, expected.stray_offs, expected.notes_off)
