"""Notes written as a MIDI file are read back as they were."""

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.midi.midi_file import midi_bytes, read_midi, write_midi
from renderer.midi.notes import NoteReport, Notes

FIXTURES = Path(__file__).parents[2] / "fixtures"


@st.composite
def playable(draw: st.DrawFn) -> Notes:
    """Notes as a keyboard plays them: no key struck again while it sounds."""
    onset, offset, pitch, velocity = [], [], [], []
    for key in draw(st.lists(st.integers(21, 108), min_size=1, max_size=6, unique=True)):
        time_now = 0.0
        for gap, length in draw(st.lists(st.tuples(st.floats(0, 3), st.floats(1e-6, 7)), min_size=1, max_size=6)):
            onset.append(time_now + gap)
            offset.append(time_now + gap + length)
            time_now = max(offset[-1], onset[-1] + 0.012)
            pitch.append(key)
            velocity.append(draw(st.integers(1, 127)))
    return Notes.of(onset, offset, pitch, velocity)


@given(playable())
def test_notes_written_and_read_are_the_same_within_half_a_tick(notes: Notes) -> None:
    read = read_midi(midi_bytes(notes))
    assert read.report == NoteReport()
    assert len(read.notes) == len(notes)
    half_tick = 0.5 / 960 + 1e-9
    by_key, read_by_key = (np.lexsort((n.onset, n.pitch)) for n in (notes, read.notes))
    np.testing.assert_array_equal(read.notes.pitch[read_by_key], notes.pitch[by_key])
    np.testing.assert_array_equal(read.notes.velocity[read_by_key], notes.velocity[by_key])
    onset_error = np.abs(read.notes.onset[read_by_key] - notes.onset[by_key])
    offset_error = np.abs(read.notes.offset[read_by_key] - notes.offset[by_key])
    assert onset_error.max() <= half_tick
    # A note shorter than a tick is written a tick long.
    long_enough = notes.duration[by_key] >= 1 / 960
    assert (offset_error[long_enough] <= half_tick).all()
    assert (offset_error <= 3 * half_tick).all()


@given(playable())
def test_writing_what_was_read_changes_nothing_more(notes: Notes) -> None:
    once = midi_bytes(notes)
    assert midi_bytes(read_midi(once).notes) == once


def test_what_is_written_is_plain(tmp_path: Path) -> None:
    notes = read_midi(FIXTURES / "tok" / "pedal.mid").notes
    write_midi(notes, tmp_path / "notes.mid")
    assert (tmp_path / "notes.mid").read_bytes() == midi_bytes(notes)
    midi = mido.MidiFile(tmp_path / "notes.mid")
    assert midi.ticks_per_beat == 480
    assert [message.tempo for message in midi.tracks[0] if message.type == "set_tempo"] == [500_000]
    assert {message.channel for message in midi.tracks[1] if not message.is_meta} == {0}
    assert midi.length == pytest.approx(notes.end, abs=0.002)


def test_notes_before_zero_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="begins at 0 s"):
        midi_bytes(Notes.of([-0.5], [1.0], [60], [64]))
