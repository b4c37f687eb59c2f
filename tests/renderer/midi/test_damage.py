"""A damaged file is read where its meaning is plain, the report says how; a strict reading refuses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.errors import MidiError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import NoteReport, PedalPolicy
from tests.renderer.midi.files import control, midi_file, note, raw_file, spans

CASES = Path(__file__).parents[2] / "fixtures" / "midi_cases"
EXPECTED: dict[str, Any] = json.loads((CASES / "expected.json").read_text())

END = b"\x00\xff\x2f\x00"
NOTES = bytes([0, 0x90, 60, 64, 96, 60, 0]), bytes([96, 0x90, 64, 64, 96, 64, 0])
"""Two tracks: a note from 0 to .1 s, and one from .1 to .2 s."""
PLAYED = [(0.0, 0.1), (0.1, 0.2)]


def chunk(content: bytes, name: bytes = b"MTrk", length: int | None = None) -> bytes:
    return name + (len(content) if length is None else length).to_bytes(4, "big") + content


def header(tracks: int, kind: int = 1, division: bytes = b"\x01\xe0") -> bytes:
    return chunk(kind.to_bytes(2, "big") + tracks.to_bytes(2, "big") + division, b"MThd")


FIRST, SECOND = (chunk(notes + END) for notes in NOTES)


def mended(data: bytes) -> dict[str, int]:
    """What the report counts; and a strict reading says the same and refuses, unless it is merely irregular."""
    counted = {name: count for name, count in vars(read_midi(data).report).items() if count}
    if not counted.keys() - {"events_irregular"}:
        assert len(read_midi(data, strict=True).notes)
        return counted
    with pytest.raises(MidiError, match="damaged, and a strict reading mends nothing") as refusal:
        read_midi(data, strict=True)
    assert all(f"{name} {count}" in str(refusal.value) for name, count in counted.items())
    return counted


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_published_cases_have_their_right_notes(name: str) -> None:
    pedal: PedalPolicy = "extend" if EXPECTED[name]["pedal"] == "extend" else "ignore"
    notes = read_midi(CASES / f"{name}.mid", pedal).notes
    played = [list(row) for row in zip(notes.onset.tolist(), notes.pitch.tolist(), notes.offset.tolist(), strict=True)]
    assert played == [pytest.approx(row) for row in EXPECTED[name]["notes"]]


def test_chunks_that_are_no_tracks_are_passed_over() -> None:
    extra = chunk(b"\x90\x3c\x40 anything MTrk", b"XFIH") + chunk(b"", b"XFKM")
    for data in (header(2) + extra + FIRST + SECOND, header(2) + FIRST + extra + SECOND + extra):
        assert spans(data) == PLAYED
        assert mended(data) == {}


@pytest.mark.parametrize(("stated", "miscounted"), [(0, 2), (1, 1), (3, 1), (65535, 65533)])
def test_all_tracks_are_read_whatever_the_header_counts(stated: int, miscounted: int) -> None:
    data = header(stated) + FIRST + SECOND
    assert spans(data) == PLAYED
    assert mended(data) == {"tracks_miscounted": miscounted}


def test_a_longer_header_is_passed_over_and_a_wrong_length_of_it_mended() -> None:
    longer = b"MThd" + (8).to_bytes(4, "big") + header(2)[8:] + b"ab"
    for begin in (longer, b"MThd\0\0\0\0" + header(2)[8:], b"MThd\xff\xff\xff\xff" + header(2)[8:]):
        assert spans(begin + FIRST + SECOND) == PLAYED


@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_a_riff_wrapped_file_is_read(pad: bytes) -> None:
    smf = header(2) + FIRST + SECOND
    info = b"LIST" + (4 - len(pad)).to_bytes(4, "little") + b"INFO"[: 4 - len(pad)] + pad
    body = b"RMID" + info + b"data" + len(smf).to_bytes(4, "little") + smf + b"LIST\x04\0\0\0INFO"
    data = b"RIFF" + len(body).to_bytes(4, "little") + body
    assert spans(data) == PLAYED
    assert mended(data) == {}
    with pytest.raises(MidiError, match="not a MIDI file"):
        read_midi(b"RIFF\x04\0\0\0WAVE" + body[4:])


@settings(max_examples=200)
@given(st.sampled_from([0, 1]), st.one_of(st.integers(-19, 40), st.integers(100, 2**32 - 1)))
def test_any_wrong_track_length_is_mended(track: int, error: int) -> None:
    chunks = [FIRST, SECOND]
    length = len(chunks[track]) - 8
    if error == 0 or length + error < 0:
        return
    chunks[track] = chunk(chunks[track][8:], length=min(length + error, 2**32 - 1))
    data = header(2) + b"".join(chunks)
    assert spans(data) == PLAYED
    assert mended(data) == {"track_lengths_mended": 1}


@given(st.binary(min_size=1, max_size=40))
def test_stray_bytes_between_tracks_are_skipped(stray: bytes) -> None:
    if stray[:4].isalnum() or b"MTrk" in stray:
        return
    data = header(2) + FIRST + stray + SECOND
    assert spans(data) == PLAYED
    assert mended(data) == {"bytes_skipped": len(stray)}


@given(st.binary(max_size=40))
def test_bytes_behind_the_last_track_mean_nothing(behind: bytes) -> None:
    if b"MTrk" in behind or (behind and b"MTrk".startswith(behind[:4])):
        return
    data = header(2) + FIRST + SECOND + behind
    assert spans(data) == PLAYED
    assert mended(data) == {}


def test_padding_of_a_whole_disk_block_means_nothing() -> None:
    assert spans(header(2) + FIRST + SECOND + b"\xf6" * 8192) == PLAYED


def test_events_behind_an_end_of_track_count_where_the_tracks_length_has_them() -> None:
    data = header(1) + chunk(bytes([0, 0x90, 60, 64]) + END + bytes([96, 60, 0]) + END)
    assert spans(data) == [(0.0, 0.1)]
    assert mended(data) == {"events_irregular": 2}  # the end, and running status after it


def test_bytes_behind_an_end_of_track_that_are_no_events_are_skipped() -> None:
    data = header(2) + chunk(NOTES[0] + END + b"\xf5\xf5\xf5") + SECOND
    assert spans(data) == PLAYED
    assert mended(data) == {"bytes_skipped": 3}


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(b"\xf0\x03\x7e\x7f\xf7", id="a system exclusive event"),
        pytest.param(b"\xf7\x01\xf3", id="an escape"),
        pytest.param(b"\xff\x05\x02la", id="a lyric"),
        pytest.param(b"\xf8", id="a clock"),
        pytest.param(b"\xf2\x01\x02", id="a song position"),
    ],
)
def test_running_status_goes_on_after_what_should_end_it(between: bytes) -> None:
    data = raw_file(bytes([0, 0x90, 60, 64, 48]) + between + bytes([48, 60, 0]))
    assert spans(data) == [(0.0, 0.1)]
    assert mended(data) == {"events_irregular": 1}


@pytest.mark.parametrize("content", [b"", b"\x07", b"\x07\xa1"])
def test_a_tempo_of_too_few_bytes_is_passed_over(content: bytes) -> None:
    data = raw_file(b"\x00\xff\x51" + bytes([len(content)]) + content + NOTES[0])
    assert spans(data) == [(0.0, 0.1)]
    assert mended(data) == {"events_skipped": 1}


def test_a_tempo_of_more_bytes_is_read_by_its_first_three() -> None:
    assert spans(raw_file(b"\x00\xff\x51\x04\x03\xd0\x90\x00" + NOTES[0])) == [(0.0, 0.05)]


def test_values_above_127_are_read_as_127_and_counted() -> None:
    data = raw_file(bytes([0, 0x90, 60, 200, 96, 60, 0]))
    assert read_midi(data).notes.velocity.tolist() == [127]
    assert mended(data) == {"events_mended": 1}


def test_what_is_not_damage_is_read_strictly_too() -> None:
    data = midi_file([*note(0, 480), note(480, 960)[0], control(960, 123)])
    assert read_midi(data, strict=True).report == NoteReport(notes_off=1)


def test_a_file_that_ends_within_a_track_is_refused() -> None:
    whole = header(2) + FIRST + SECOND
    for length in range(14, len(whole)):
        # Where nothing of the second track is left, the header's count alone tells of it.
        if length not in (len(header(2)), len(header(2) + FIRST)):
            with pytest.raises(MidiError, match=r"truncated|no MTrk"):
                read_midi(whole[:length])
