"""Which note-off ends which note: a lost or doubled one costs one note, never those that come after."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.errors import MidiError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import NoteReport
from tests.renderer.midi.files import Event, control, midi_file, note, release, spans, strike

SECOND = 960
KeyEvent = tuple[int, bool]
"""What happens to a key, at a quarter of a second: True is a strike."""


def of_one_key(*events: KeyEvent) -> bytes:
    return midi_file([(strike if on else release)(quarter * SECOND // 4) for quarter, on in events], [release(9999, 1)])


def played(data: bytes) -> list[tuple[float, float]]:
    return spans(data, "ignore")


@pytest.mark.parametrize(
    ("events", "expected", "counted"),
    [
        pytest.param("0+ 4+ 6- 8+ 10-", "0-4 4-6 8-10", {"unclosed": 1}, id="a note-off is lost"),
        pytest.param("0+ 4- 5- 8+ 10- 11-", "0-4 8-10", {"stray_offs": 2}, id="note-offs are doubled"),
        pytest.param("0- 4+ 6-", "4-6", {"stray_offs": 1}, id="a note-off without a strike"),
        pytest.param("0+ 0- 4+ 6- 8+ 9-", "4-6 8-9", {"no_length": 1}, id="on and off in one tick"),
        pytest.param("4- 4+ 6-", "4-6", {"stray_offs": 1}, id="off and on in one tick"),
        pytest.param("0+ 0- 2-", "0-2", {}, id="off at the strike's own tick, and later"),
        pytest.param("0+ 4+ 4- 6-", "0-4 4-6", {}, id="on before off where a key is struck again"),
        pytest.param("0+ 4- 4+ 6-", "0-4 4-6", {}, id="off before on where a key is struck again"),
        pytest.param("0+ 4- 4+ 4- 6+ 7-", "0-4 6-7", {"no_length": 1}, id="no length where a key was let go"),
        pytest.param("0+ 0+ 1- 5+ 6-", "0-1 5-6", {"duplicates": 1, "unclosed": 1}, id="struck twice, one note-off"),
        pytest.param("0+ 0+ 1- 2-", "0-2", {"duplicates": 1}, id="two voices begin together"),
        pytest.param("0+ 0+ 0- 2-", "0-2", {"duplicates": 1}, id="two voices begin together, one without length"),
        pytest.param("0+ 2+ 4- 6-", "0-2 2-6", {"overlaps_cut": 1}, id="two voices overlap"),
        pytest.param("0+ 2+ 3- 4+ 5- 6-", "0-2 2-3 4-5", {"unclosed": 1, "stray_offs": 1}, id="three voices overlap"),
        pytest.param("0+ 2+ 4+ 5- 6-", "0-2 2-4 4-6", {"unclosed": 1, "overlaps_cut": 1}, id="three strikes, two offs"),
    ],
)
def test_each_kind_of_sequence_is_decided_and_counted(events: str, expected: str, counted: dict[str, int]) -> None:
    data = of_one_key(*((int(event[:-1]), event[-1] == "+") for event in events.split()))
    quarters = [f"{onset * 4:.0f}-{offset * 4:.0f}" for onset, offset in played(data)]
    assert quarters == expected.split()
    # The file has a note-off of a key that is never struck, for its length.
    report = NoteReport(**{**counted, "stray_offs": counted.get("stray_offs", 0) + 1})
    assert read_midi(data, "ignore").report == report


CLEAN = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=3, max_size=12)
"""Gaps before notes and their lengths, in quarters of a second."""


def clean_notes(gaps_and_lengths: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    notes, now = [], 0
    for gap, length in gaps_and_lengths:
        notes.append(((now + gap) * SECOND // 4, (now + gap + length) * SECOND // 4))
        now += gap + length
    return notes


def in_seconds(notes: Iterable[tuple[int, int]]) -> list[tuple[float, float]]:
    return [(onset / SECOND, offset / SECOND) for onset, offset in notes]


@given(CLEAN, st.data())
def test_one_lost_note_off_costs_one_note(gaps: list[tuple[int, int]], data: st.DataObject) -> None:
    notes = clean_notes(gaps)
    lost = data.draw(st.integers(0, len(notes) - 2))
    events = [event for n in notes for event in note(*n)]
    del events[2 * lost + 1]
    notes[lost] = (notes[lost][0], notes[lost + 1][0])
    assert played(midi_file(events)) == in_seconds(notes)
    assert read_midi(midi_file(events)).report == NoteReport(unclosed=1)


@given(CLEAN, st.data())
def test_doubled_events_cost_nothing(gaps: list[tuple[int, int]], data: st.DataObject) -> None:
    notes = clean_notes(gaps)
    events = [event for n in notes for event in note(*n)]
    doubled = data.draw(st.sets(st.integers(0, len(events) - 1), max_size=4))
    for place in sorted(doubled, reverse=True):
        # A doubled note-off may come later, as long as the key rests; but two strikes may be two voices.
        late = data.draw(st.integers(0, SECOND // 8)) if place % 2 and place - 1 not in doubled else 0
        events.insert(place + 1, (events[place][0] + late, events[place][1]))
    assert played(midi_file(events)) == in_seconds(notes)


@given(CLEAN, st.data())
def test_notes_without_length_cost_nothing(gaps: list[tuple[int, int]], data: st.DataObject) -> None:
    notes = clean_notes(gaps)
    rests = [offset + SECOND // 8 for _, offset in notes]
    blips = data.draw(st.sets(st.sampled_from(rests), min_size=1))
    events = [event for n in [*notes, *((tick, tick) for tick in blips)] for event in note(*n)]
    assert played(midi_file(events)) == in_seconds(notes)
    assert read_midi(midi_file(events)).report == NoteReport(no_length=len(blips))


@given(CLEAN, st.sampled_from(["track", "channel", "both"]))
def test_note_offs_may_stand_elsewhere(gaps: list[tuple[int, int]], where: str) -> None:
    notes = clean_notes(gaps)
    strikes = [strike(onset) for onset, _ in notes]
    releases = [release(offset, channel=0 if where == "track" else 3) for _, offset in notes]
    data = midi_file(strikes + releases) if where == "channel" else midi_file(strikes, releases)
    assert played(data) == in_seconds(notes)
    assert read_midi(data).report == NoteReport(offs_elsewhere=len(notes))


def test_a_note_off_of_the_strikes_own_track_is_taken_first() -> None:
    one_hand, other_hand = [strike(0), release(480), release(500)], [strike(100, channel=1), release(960, channel=1)]
    assert played(midi_file(one_hand, other_hand)) == [(0.0, pytest.approx(100 / 960)), (pytest.approx(100 / 960), 1.0)]


def test_hands_that_share_a_channel_keep_their_own_note_offs() -> None:
    data = midi_file(note(0, 960, 60) + note(1920, 2880, 60), [*note(0, 480, 64), release(500, 60)])
    assert played(data)[:2] == [(0.0, 1.0), (0.0, 0.5)]


def test_a_note_off_elsewhere_holds_a_note_for_six_seconds_at_most() -> None:
    assert played(midi_file([strike(0)], [release(96_000)])) == [(0.0, 6.0)]


@pytest.mark.parametrize("controller", [120, 123, 124, 125, 126, 127])
def test_all_notes_off_ends_the_notes_of_its_channel(controller: int) -> None:
    notes: list[Event] = [strike(0, 60), strike(0, 62), *note(0, 960, 64, channel=1)]
    data = midi_file([*notes, control(480, controller), *note(1920, 2400, 72)])
    assert played(data) == [(0.0, 0.5), (0.0, 0.5), (0.0, 1.0), (2.0, 2.5)]
    assert read_midi(data).report == NoteReport(notes_off=2)


def test_all_notes_off_spares_what_is_struck_at_its_tick() -> None:
    assert played(midi_file([control(0, 123), *note(0, 480)])) == [(0.0, 0.5)]
    assert played(midi_file([*note(0, 480)[:1], control(0, 123), release(480)])) == [(0.0, 0.5)]
    assert played(midi_file([strike(0), strike(480), control(480, 123), release(960)])) == [(0.0, 0.5), (0.5, 1.0)]


def test_all_notes_off_on_another_track_spares_notes_that_have_a_note_off() -> None:
    assert played(midi_file(note(0, 960), [control(480, 123)])) == [(0.0, 1.0)]
    assert played(midi_file([strike(0)], [control(480, 123)])) == [(0.0, 0.5)]


def test_local_control_ends_nothing() -> None:
    assert played(midi_file([*note(0, 960), control(480, 122)])) == [(0.0, 1.0)]


KEY = st.lists(st.tuples(st.integers(0, 16), st.booleans()), min_size=1, max_size=16).map(
    lambda events: sorted(events, key=lambda event: event[0])
)


def by_the_rule(events: Sequence[KeyEvent]) -> list[tuple[int, int]]:
    """The rule in its plainest words, for one key: what is played of it, before anything is cut."""
    groups: list[tuple[list[int], list[int], list[int]]] = []  # strikes, note-offs at a strike's tick, later ones
    for tick, on in events:
        if on and (not groups or groups[-1][2]):
            groups.append(([tick], [], []))
        elif on:
            groups[-1][0].append(tick)
        elif groups:
            strikes, at_once, later = groups[-1]
            if tick > strikes[-1]:
                later.append(tick)
            elif len(at_once) < len(strikes):
                at_once.append(tick)
    notes: list[tuple[int, int]] = []
    for strikes, at_once, later in groups:
        notes += zip(strikes, at_once, strict=False)
        rest = strikes[len(at_once) :]
        if not rest and later and at_once[-1] == strikes[-1]:
            notes[-1] = (strikes[-1], later[0])
        lost = max(0, len(rest) - len(later))
        notes += zip(rest[:lost], [*rest[1:], events[-1][0]], strict=False)
        notes += zip(rest[lost:], later, strict=False)
    return notes


def on_a_piano(notes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Strikes of one tick are one; a note ends where its key is struck again; what has no length is not played."""
    longest: dict[int, int] = {}
    for onset, offset in notes:
        longest[onset] = max(offset, longest.get(onset, 0))
    onsets = sorted(onset for onset, offset in longest.items() if offset > onset)
    ends = [*onsets[1:], 10**9][: len(onsets)]
    return [(onset, min(longest[onset], end)) for onset, end in zip(onsets, ends, strict=True)]


@given(KEY)
def test_any_sequence_is_played_by_the_rule(events: list[KeyEvent]) -> None:
    expected = [(onset / 4, offset / 4) for onset, offset in on_a_piano(by_the_rule(events))]
    data = midi_file([(strike if on else release)(quarter * SECOND // 4) for quarter, on in events])
    if not expected:
        with pytest.raises(MidiError, match="no notes"):
            read_midi(data)
    else:
        assert played(data) == expected
