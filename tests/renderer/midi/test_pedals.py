"""Pedals hold what a piano's pedals hold: sustain and sostenuto, of any channel or of each."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mido import MetaMessage

from renderer.midi.midi_file import read_midi
from renderer.midi.notes import NoteReport, PedalChannels
from tests.renderer.midi.files import Event, control, midi_file, note, spans, sustain


def test_the_pedal_is_ignored_on_demand() -> None:
    data = midi_file([sustain(0, 127), *note(0, 480), sustain(960, 0)])
    assert spans(data, "ignore") == [(0.0, 0.5)]
    assert spans(data, "extend") == [(0.0, 1.0)]
    assert read_midi(data).report == NoteReport(pedal_extended=1)
    assert read_midi(data, "ignore").report == NoteReport()


@pytest.mark.parametrize(("value", "end"), [(63, 0.5), (64, 1.0), (127, 1.0)])
def test_the_pedal_is_pressed_from_64_on(value: int, end: float) -> None:
    assert spans(midi_file([sustain(0, value), *note(0, 480), sustain(960, 63)])) == [(0.0, end)]


def test_half_pedalling_above_64_does_not_lift() -> None:
    data = midi_file([sustain(0, 70), sustain(600, 127), sustain(700, 64), *note(0, 480), sustain(960, 10)])
    assert spans(data) == [(0.0, 1.0)]


def test_a_note_released_before_the_pedal_is_pressed_is_not_held() -> None:
    assert spans(midi_file([*note(0, 480), sustain(481, 127), sustain(960, 0)])) == [(0.0, 0.5)]


@pytest.mark.parametrize(("value", "end"), [(127, 1.0), (0, 0.5)])
def test_a_pedal_event_at_the_release_counts_as_having_happened(value: int, end: float) -> None:
    data = midi_file([sustain(0, 127 - value), *note(0, 480), sustain(480, value), sustain(960, 0)])
    assert spans(data) == [(0.0, end)]


def test_a_held_note_ends_where_its_key_is_struck_again() -> None:
    data = midi_file([sustain(0, 127), *note(0, 240), *note(480, 720), sustain(960, 0)])
    assert spans(data) == [(0.0, 0.5), (0.5, 1.0)]
    assert read_midi(data).report == NoteReport(pedal_extended=2)


def test_a_note_is_held_for_six_seconds_at_most() -> None:
    data = midi_file([sustain(0, 127), *note(0, 480), *note(480, 9600, 72), sustain(9600, 0)])
    assert spans(data) == [(0.0, 6.5), (0.5, 10.0)]


def test_a_pedal_never_lifted_lifts_at_the_end_of_the_file() -> None:
    data = midi_file([sustain(0, 127), *note(0, 480)], [(960, MetaMessage("marker"))])
    assert spans(data) == [(0.0, 1.0)]


def ends(data: bytes, channels: PedalChannels = "any") -> list[float]:
    return read_midi(data, pedal_channels=channels).notes.offset.tolist()


@pytest.mark.parametrize(("channels", "second"), [("any", 1.0), ("each", 0.5)])
def test_one_piano_has_one_pedal_unless_each_channel_has_its_own(channels: PedalChannels, second: float) -> None:
    notes = note(0, 480, 60) + note(0, 480, 64, channel=1)
    assert ends(midi_file(notes, [sustain(0, 127), sustain(960, 0)]), channels) == [1.0, second]


def test_the_one_pedal_is_down_as_long_as_any_channels_is() -> None:
    pedals = [sustain(0, 127), sustain(100, 127, channel=1), sustain(600, 0, channel=1), sustain(960, 0)]
    assert ends(midi_file([*note(0, 480), *pedals])) == [1.0]
    assert ends(midi_file([*note(0, 480, channel=1), *pedals]), "each") == [0.625]


def test_an_unknown_channel_policy_is_refused() -> None:
    assert get_args(PedalChannels) == ("each", "any")
    with pytest.raises(ValueError, match="pedal_channels"):
        read_midi(midi_file(note(0, 480)), pedal_channels="one")  # type: ignore[arg-type]


def test_to_reset_all_controllers_lifts_the_pedals() -> None:
    for pedal in (64, 66):
        data = midi_file([control(100, pedal, 127), *note(0, 240), control(480, 121), *note(960, 1440, 72)])
        # The sostenuto pedal is pressed while the key is down, the sustain pedal as well.
        assert spans(data)[0] == (0.0, 0.5)


def test_all_sound_off_ends_what_the_pedal_holds_and_all_notes_off_does_not() -> None:
    events = [sustain(0, 127), *note(0, 240), (0, note(0, 1, 64)[0][1]), sustain(960, 0)]
    assert spans(midi_file([*events, control(480, 120)])) == [(0.0, 0.5), (0.0, 0.5)]
    assert spans(midi_file([*events, control(480, 123)])) == [(0.0, 1.0), (0.0, 1.0)]
    assert spans(midi_file([*events, control(480, 123)]), "ignore") == [(0.0, 0.25), (0.0, 0.5)]


def test_the_sostenuto_pedal_holds_the_keys_that_are_down_when_it_is_pressed() -> None:
    pedal = [control(240, 66, 127), control(1440, 66, 0)]
    before, held, after = note(0, 200, 55), note(0, 480, 48), note(720, 960, 64)
    data = midi_file([*before, *held, *after, *pedal, *note(1900, 1920, 72)])
    assert spans(data)[:3] == [(0.0, 1.5), (0.0, pytest.approx(200 / 960)), (0.75, 1.0)]
    assert spans(data, "ignore")[0] == (0.0, 0.5)
    assert read_midi(data).report == NoteReport(pedal_extended=1)


def test_the_sostenuto_pedal_pressed_further_catches_nothing_more() -> None:
    pedal = [control(0, 66, 80), control(960, 66, 127), control(1920, 66, 0)]
    assert spans(midi_file([*note(480, 1200), *pedal])) == [(0.5, 1.25)]
    assert spans(midi_file([*note(0, 1200), *pedal])) == [(0.0, 2.0)]


def test_the_sustain_pedal_takes_over_from_the_sostenuto_pedal() -> None:
    pedals = [control(100, 66, 127), sustain(700, 127), control(960, 66, 0), sustain(1440, 0)]
    assert spans(midi_file([*note(0, 480), *pedals])) == [(0.0, 1.5)]


def test_the_soft_pedal_changes_nothing() -> None:
    data = midi_file([control(0, 67, 127), *note(0, 480, velocity=90), control(960, 67, 0)])
    performance = read_midi(data)
    assert spans(data) == [(0.0, 0.5)]
    assert performance.notes.velocity.tolist() == [90]
    assert performance.report == NoteReport()


TICKS = 240  # a quarter of a second, beyond what counts as one strike
NOTE = st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(0, 1), st.integers(0, 2))
PEDAL = st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 1), st.integers(0, 2))


@given(st.lists(NOTE, min_size=1, max_size=8), st.lists(PEDAL, max_size=8), st.sampled_from(["each", "any"]))
def test_any_pedalling_is_as_played_note_by_note(
    notes: list[tuple[int, int, int, int]], pedal: list[tuple[int, bool, int, int]], channels: PedalChannels
) -> None:
    """Against the plainest statement of the sustain pedal, one note at a time; each note has a key of its own."""
    tracks: list[list[Event]] = [[], [], []]
    for key, (onset, length, channel, track) in enumerate(notes):
        tracks[track] += note(onset * TICKS, (onset + length) * TICKS, 60 + key, channel=channel)
    for tick, is_down, channel, track in pedal:
        tracks[track].append(sustain(tick * TICKS, 127 * is_down, channel))
    # In order of time; at one tick in the order of tracks.
    moves = [
        (tick, is_down, channel) for tick, is_down, channel, _ in sorted(pedal, key=lambda move: (move[0], move[3]))
    ]
    end = max([tick for tick, _, _ in moves] + [onset + length for onset, length, _, _ in notes])
    expected = {}
    for key, (onset, length, channel, _) in enumerate(notes):
        offset = onset + length
        down: set[int] = set()
        lifted: int | None = None
        for tick, pressed, of in moves:
            if channels == "each" and of != channel:
                continue
            if tick > offset and not down:
                break
            (down.add if pressed else down.discard)(of)
            if tick > offset and not down:
                lifted = tick
                break
        held = offset if not down and lifted is None else end if lifted is None else lifted
        expected[60 + key] = (onset / 4, held / 4)
    played = read_midi(midi_file(*tracks), pedal_channels=channels).notes
    found = zip(played.pitch.tolist(), played.onset.tolist(), played.offset.tolist(), strict=True)
    assert {pitch: (onset, offset) for pitch, onset, offset in found} == expected
