"""A MIDI file becomes what a piano plays of it; every decision is counted, every refusal says why."""

import time
from pathlib import Path

import numpy as np
import pytest
from mido import MetaMessage

from renderer.errors import MidiError
from renderer.midi.limits import MidiLimits
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.notes import NoteReport, Notes
from tests.renderer.midi.files import midi_file, note, raw_file, spans, strike, tempo


def test_tempo_changes_of_all_tracks_count() -> None:
    data = midi_file([tempo(960, 250_000), *note(0, 480)], [tempo(480, 1_000_000)], [*note(480, 1440, pitch=62)])
    assert spans(data) == [(0.0, 0.5), (0.5, 1.75)]


def test_the_last_of_several_tempos_at_one_tick_counts() -> None:
    assert spans(midi_file([tempo(0, 1_000_000), tempo(0, 250_000), *note(480, 960)])) == [(0.25, 0.5)]


@pytest.mark.parametrize("kind", [0, 2])
def test_a_single_track_of_any_type_is_read(kind: int) -> None:
    assert spans(midi_file(note(480, 960), kind=kind)) == [(0.5, 1.0)]


@pytest.mark.parametrize(("frames", "per_second"), [(24, 24.0), (25, 25.0), (29, 29.97), (30, 30.0)])
def test_smpte_time_is_real_time_whatever_the_tempo(frames: int, per_second: float) -> None:
    division = -(frames << 8) + 40
    data = midi_file([tempo(0, 1_000_000), *note(0, 400)], division=division)
    assert spans(data)[0][1] == pytest.approx(10 / per_second, rel=1e-5)


def test_the_delay_before_an_unknown_meta_event_is_not_lost() -> None:
    unknown = bytes([96, 0xFF, 0x60, 1, 0])
    assert spans(raw_file(unknown + bytes([0, 0x90, 60, 64, 96, 0x80, 60, 0]))) == [(0.1, 0.2)]


def test_all_tracks_and_channels_are_merged_but_drums() -> None:
    data = midi_file(note(0, 480), note(480, 960, 64, channel=5) + note(0, 960, 36, channel=9), note(240, 480, 67))
    performance = read_midi(data)
    assert performance.notes.pitch.tolist() == [60, 67, 64]
    assert performance.report == NoteReport(drums=1)


def test_pitches_off_the_keyboard_are_left_out() -> None:
    performance = read_midi(midi_file([event for pitch in range(128) for event in note(0, 480, pitch)]))
    assert performance.notes.pitch.tolist() == list(range(21, 109))
    assert performance.report == NoteReport(out_of_range=40)


def test_a_key_struck_twice_at_once_is_struck_once() -> None:
    data = midi_file(note(0, 480, velocity=30), note(5, 960, velocity=90), note(2, 100, velocity=60))
    performance = read_midi(data)
    assert spans(data) == [(0.0, 1.0)]
    assert performance.notes.velocity.tolist() == [90]
    assert performance.report == NoteReport(duplicates=2)


def test_a_key_struck_again_while_it_sounds_ends_there() -> None:
    data = midi_file(note(0, 960), note(480, 720), note(700, 1440))
    assert spans(data)[:2] == [(0.0, 0.5), (0.5, pytest.approx(700 / 960))]
    assert read_midi(data).report == NoteReport(overlaps_cut=2)


def test_a_stray_off_does_nothing() -> None:
    assert spans(midi_file([*note(0, 100)[1:], *note(480, 960)])) == [(0.5, 1.0)]


@pytest.mark.parametrize(("track_end", "end"), [(1920, 2.0), (96_000, 6.0)])
def test_an_unclosed_note_ends_with_its_track_or_after_six_seconds(track_end: int, end: float) -> None:
    performance = read_midi(midi_file([strike(0), *note(track_end - 1, track_end, 72)]))
    assert performance.notes.offset[0] == end
    assert performance.report == NoteReport(unclosed=1)


def test_an_unclosed_note_ends_where_its_key_is_struck_again() -> None:
    data = midi_file([strike(0), (1440, MetaMessage("marker"))], note(480, 960))
    assert spans(data) == [(0.0, 0.5), (0.5, 1.0)]
    assert read_midi(data).report == NoteReport(unclosed=1, overlaps_cut=1)


def test_a_strike_that_ends_the_file_is_left_out() -> None:
    performance = read_midi(midi_file([*note(0, 480), strike(960, 72)]))
    assert performance.notes.pitch.tolist() == [60]
    assert performance.report == NoteReport(unclosed=1, no_length=1)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b"\xff\x59\x02\x0f\x05", id="a key signature that does not exist"),
        pytest.param(b"\xff\x59\x00", id="a key signature without content"),
        pytest.param(b"\xff\x54\x05\xff\x00\x00\x00\x00", id="an impossible SMPTE offset"),
        pytest.param(b"\xff\x58\x04\x04\xff\x00\x00", id="an impossible time signature"),
        pytest.param(b"\xff\x20\x00", id="a channel prefix without content"),
        pytest.param("\u6708\u306e\u5149".encode().join([b"\xff\x01\x09", b""]), id="a text in Japanese"),
        pytest.param(b"\xf0\x03\x7e\x90\xf7", id="system exclusive data above 127"),
        pytest.param(b"\xff\x51\x03\x07\xa1\x20", id="a tempo like the default"),
        pytest.param(b"\xb0\x40\xff", id="a pedal value above 127"),
        pytest.param(b"\xff\x20\x01\x09", id="the channel prefix of the drums"),
        pytest.param("Étude".encode("latin-1").join([b"\xff\x03\x05", b""]), id="a name in Latin-1"),
        pytest.param("月光".encode("utf-16").join([b"\xff\x03\x06", b""]), id="a name in UTF-16"),
        pytest.param("月光".encode("shift-jis").join([b"\xff\x03\x04", b""]), id="a name in Shift-JIS"),
        pytest.param(b"\xff\x7f\x82\x70" + b"\xf0" * 368, id="sequencer data above 127"),
        pytest.param(b"\xf0\x03\x7e\x7f\x09\x00\xf7\x03\x01\x02\xf7", id="a sysex that is continued"),
        pytest.param(b"\xf7\x02\xf3\x01", id="an escaped system message"),
        pytest.param(b"\xb0\x7a\x00", id="local control"),
    ],
)
def test_what_does_not_matter_to_the_notes_is_forgiven(event: bytes) -> None:
    track = b"\x00" + event + bytes([96, 0x90, 60, 200, 96, 0x80, 60, 0])
    performance = read_midi(raw_file(track), "ignore")
    assert performance.notes.onset.tolist() == [0.1]
    assert performance.notes.velocity.tolist() == [127]


def test_bytes_behind_the_last_track_are_forgiven() -> None:
    assert spans(midi_file(note(0, 960)) + b"padding") == [(0.0, 1.0)]


GOOD = midi_file(note(0, 480), note(480, 960))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "not a MIDI file", id="empty"),
        pytest.param(b"ID3 this is an mp3", "not a MIDI file", id="not MIDI"),
        pytest.param(GOOD[:10], "truncated", id="cut in the header"),
        pytest.param(GOOD[:30], "truncated", id="cut in a track"),
        pytest.param(GOOD[:-20], "truncated", id="cut before the last track's end"),
        pytest.param(raw_file(b"\x00\x90\x3c"), "truncated", id="cut in an event"),
        pytest.param(raw_file(b"\x00\x3c\x40"), "damaged: running status", id="no status"),
        pytest.param(raw_file(b"\x00\xf4\x00"), "damaged: undefined status", id="undefined status"),
        pytest.param(GOOD.replace(b"MTrk", b"MTrX"), "damaged: no MTrk header", id="unknown chunk"),
        pytest.param(midi_file(note(0, 1), note(0, 1), kind=2), "MIDI type 2", id="type 2"),
        pytest.param(midi_file([], []), "no notes", id="no notes"),
        pytest.param(midi_file(note(0, 480, 10)), "no notes.*1 off the keyboard", id="nothing playable"),
        pytest.param(midi_file(note(0, 480), division=0), "time division 0", id="no division"),
        pytest.param(midi_file(note(0, 480), division=-300), "time division -300", id="odd division"),
        pytest.param(midi_file([tempo(0, 0), *note(0, 480)]), "absurd tempo.* 0 micro", id="tempo 0"),
        pytest.param(midi_file([tempo(0, 999), *note(0, 480)]), "absurd tempo", id="60,060 BPM"),
        pytest.param(midi_file(note(0, 14_401 * 960)), "absurd length.*14401 s", id="over 4 hours"),
        pytest.param(raw_file(b"\xff" * 9 + b"\x7f\x90\x3c\x40"), "absurd length", id="2^70 ticks"),
        pytest.param(raw_file(b"\xff" * 1_000_000), "damaged: 4096 bytes", id="a number without end"),
    ],
)
def test_a_file_that_cannot_be_rendered_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MidiError, match=reason):
        read_midi(data)


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(GOOD[:30])
    for given_path in (path, str(path)):
        with pytest.raises(MidiError, match=r"piece\.mid: truncated"):
            read_midi(given_path)


@pytest.mark.parametrize("name", ["missing.mid", ".", "a\0b.mid"])
def test_a_path_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MidiError, match="cannot be read"):
        read_midi(tmp_path / name)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(MidiError, match="larger than"):
        read_midi("/dev/zero")


def test_a_million_notes_are_refused_quickly() -> None:
    plain = raw_file(bytes([1, 0x90, 60, 64, 1, 0x80, 60, 0]) * 1_000_000)
    running_status = raw_file(bytes([0, 0x90, 60, 64]) + bytes([1, 60, 0, 1, 60, 64]) * 1_000_000)
    never_released = raw_file(bytes([0, 0x90, 60, 64]) + bytes([1, 60, 64]) * 1_000_000)
    for data, reason in [
        (plain, "larger than 4194304 bytes"),
        (running_status, "larger than 4194304 bytes"),
        (never_released, "more than 500000 events"),
    ]:
        began = time.process_time()
        with pytest.raises(MidiError, match=reason):
            read_midi(data)
        assert time.process_time() - began < 10.0


def test_the_limits_can_be_set() -> None:
    data = midi_file(note(0, 480), note(480, 960))
    for limits, reason in [
        (MidiLimits(bytes=50), "larger than 50 bytes"),
        (MidiLimits(events=3), "more than 3 events"),
        (MidiLimits(notes=1), "2 notes; at most 1"),
        (MidiLimits(seconds=0.9), "absurd length"),
        (MidiLimits(notes=2, seconds=1.0), None),
    ]:
        if reason is None:
            assert len(read_midi(data, limits=limits).notes) == 2
        else:
            with pytest.raises(MidiError, match=reason):
                read_midi(data, limits=limits)


def test_an_unknown_pedal_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="pedal"):
        read_midi(GOOD, "half")  # type: ignore[arg-type]


def test_twenty_thousand_notes_take_about_a_second() -> None:
    random = np.random.default_rng(0)
    onset = np.sort(random.uniform(0, 1000, 20_000))
    notes = Notes.of(onset, onset + 0.3, random.integers(21, 109, 20_000), random.integers(1, 128, 20_000))
    data = midi_bytes(notes)
    began = time.process_time()
    read = read_midi(data)
    # About 0.35 s on one slow core; the bound leaves room for a busy machine.
    assert time.process_time() - began < 2.0
    assert len(read.notes) + read.report.duplicates == 20_000
