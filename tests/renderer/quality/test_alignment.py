"""The offset between a recording and its MIDI: found to some milliseconds, and not found where there is none."""

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.quality.alignment import OnsetCorrelation
from tests.renderer.tones import improvisation, played

RATE = 16_000
SECONDS = 12.0


@pytest.mark.parametrize("late", [-9.0, -2.5, -0.3, -0.04, 0.0, 0.013, 0.25, 1.0, 9.5])
def test_an_offset_is_found_to_a_frame(late: float) -> None:
    notes = improvisation(3, 40.0)
    stretch = played(notes.selected((notes.onset > 14.0) & (notes.onset < 26.0)).shifted(-14.0), SECONDS, RATE)
    assert OnsetCorrelation.of(stretch, RATE, notes.shifted(-14.0 - late)).offset == pytest.approx(late, abs=0.03)


def test_notes_of_another_piece_are_heard_at_no_offset() -> None:
    stretch = played(improvisation(3, SECONDS), SECONDS, RATE)
    for seed in range(10, 20):
        assert OnsetCorrelation.of(stretch, RATE, improvisation(seed, SECONDS)).offset is None


def test_stretches_are_added_and_repetitions_are_taken_to_be_where_they_stand() -> None:
    bar = improvisation(4, 3.0)
    repeated = Notes.joined(*(bar.shifted(2.5 * k) for k in range(8)))
    sounds = played(repeated.selected(repeated.onset < SECONDS - 0.5), SECONDS, RATE)
    assert OnsetCorrelation.of(sounds, RATE, repeated).offset == pytest.approx(0.0, abs=0.03)
    moved = OnsetCorrelation.of(sounds, RATE, repeated.shifted(1.0))
    assert moved.offset in (None, pytest.approx(-1.0, abs=0.03), pytest.approx(1.5, abs=0.03))
    other = improvisation(5, SECONDS)
    unique = OnsetCorrelation.of(played(other, SECONDS, RATE), RATE, other.shifted(1.0))
    assert (moved + unique).offset == pytest.approx(-1.0, abs=0.03)
    assert unique.fits(-1.03, 0.05)
    assert not unique.fits(-0.9, 0.05)


@pytest.mark.parametrize("notes", [0, 3])
def test_too_few_notes_and_silence_say_nothing(notes: int) -> None:
    some = improvisation(6, SECONDS)
    few = some.selected(np.arange(len(some)) < notes)
    assert OnsetCorrelation.of(played(some, SECONDS, RATE), RATE, few).offset is None
    assert OnsetCorrelation.of(np.zeros(RATE, np.float32), RATE, some).offset is None
