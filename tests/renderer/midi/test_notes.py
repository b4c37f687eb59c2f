"""Notes are sorted and checked; excerpts change them as they say and count it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.errors import MidiError
from renderer.midi.notes import Excerpt, NoteReport, Notes, Performance

NOTE = st.tuples(
    st.floats(0, 100), st.floats(0.001, 10), st.integers(21, 108), st.integers(1, 127)
)  # onset, duration, pitch, velocity


def notes_of(rows: list[tuple[float, float, int, int]]) -> Notes:
    onset, duration, pitch, velocity = zip(*rows, strict=True) if rows else ([], [], [], [])
    return Notes.of(onset, np.add(onset, duration), pitch, velocity)


def performance(*rows: tuple[float, float, int, int]) -> Performance:
    """From rows of onset, offset, pitch, velocity."""
    return Performance(Notes.of(*zip(*rows, strict=True)), NoteReport(drums=7))


def test_notes_are_sorted_by_onset_pitch_duration() -> None:
    notes = Notes.of([1, 0, 0, 0], [2, 3, 2, 1], [50, 60, 60, 40], [1, 2, 3, 4])
    assert notes.velocity.tolist() == [4, 3, 2, 1]
    assert notes.onset.dtype == np.float64
    assert notes.pitch.dtype == np.int64


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        (([0], [1, 2], [60], [64]), "alike"),
        (([[0]], [[1]], [[60]], [[64]]), "alike"),
        (([0, np.nan], [1, 2], [60, 60], [64, 64]), "time is not finite: note 1"),
        (([0], [np.inf], [60], [64]), "time is not finite"),
        (([1], [1], [60], [64]), "offset is not after the onset"),
        (([0], [1], [128], [64]), "pitch is outside"),
        (([0], [1], [-1], [64]), "pitch is outside"),
        (([0], [1], [60], [0]), "velocity is outside"),
        (([0], [1], [60], [128]), "velocity is outside"),
    ],
)
def test_what_is_not_a_note_is_refused(arrays: tuple[list[float], ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Notes.of(*arrays)


def test_notes_cannot_be_written_to() -> None:
    given_onsets = np.array([0.0])
    notes = Notes.of(given_onsets, [1.0], [60], [64])
    with pytest.raises(ValueError, match="read-only"):
        notes.onset[0] = 5.0
    given_onsets[0] = 5.0
    assert notes.onset[0] == 0.0


def test_no_notes_end_at_zero() -> None:
    for empty in (Notes.none(), Notes.joined(), Notes.joined(Notes.none())):
        assert len(empty) == 0
        assert empty.end == 0.0
        assert len(empty.shifted(3.0).clipped(0, 1)) == 0


def test_the_end_is_the_last_offset_not_the_last_notes() -> None:
    assert Notes.of([0.0, 1.0], [9.0, 2.0], [60, 60], [64, 64]).end == 9.0


def test_clipping_keeps_what_sounds_and_cuts_it() -> None:
    notes = Notes.of([0, 1, 2, 3, 4], [1, 2.5, 9, 3.5, 5], [60, 61, 62, 63, 64], [1, 2, 3, 4, 5])
    clipped = notes.clipped(2.0, 4.0)
    assert clipped.onset.tolist() == [2.0, 2.0, 3.0]
    assert clipped.offset.tolist() == [2.5, 4.0, 3.5]
    assert clipped.velocity.tolist() == [2, 3, 4]


@given(st.lists(NOTE, max_size=20), st.floats(0, 50), st.floats(0.01, 50))
def test_clipping_in_two_loses_no_sound(rows: list[tuple[float, float, int, int]], start: float, length: float) -> None:
    notes = notes_of(rows)
    whole = notes.clipped(start, start + length)
    middle = start + length / 2
    halves = Notes.joined(notes.clipped(start, middle), notes.clipped(middle, start + length))
    assert halves.duration.sum() == pytest.approx(whole.duration.sum())
    assert len(halves) == len(whole) + int(((whole.onset < middle) & (whole.offset > middle)).sum())


@given(st.lists(NOTE, min_size=1, max_size=20))
def test_joining_keeps_every_note(rows: list[tuple[float, float, int, int]]) -> None:
    notes = notes_of(rows)
    half = np.arange(len(notes)) % 2 == 0
    joined = Notes.joined(notes.selected(~half), notes.selected(half))
    for name in ("onset", "offset", "pitch"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(notes, name))


def test_an_excerpt_starts_at_zero_and_is_cut_at_its_end() -> None:
    whole = performance((0, 3, 60, 64), (2, 4, 62, 64), (3, 9, 64, 64), (5, 6, 65, 64))
    part = whole.excerpt(Excerpt(start=2.0, end=5.0))
    assert part.notes.onset.tolist() == [0.0, 1.0]
    assert part.notes.offset.tolist() == [2.0, 3.0]
    assert part.report == NoteReport(drums=7, sounding_at_start=1, cut_at_end=1)
    assert part.part == Excerpt(start=2.0, end=5.0)


def test_a_whole_excerpt_changes_nothing() -> None:
    whole = performance((0, 3, 60, 64), (2, 4, 62, 64))
    assert whole.excerpt(Excerpt()) is whole


def test_transposed_off_the_keyboard_is_left_out_and_counted() -> None:
    part = performance((0, 1, 21, 64), (0, 1, 60, 64), (0, 1, 108, 64)).excerpt(Excerpt(transpose=3))
    assert part.notes.pitch.tolist() == [24, 63]
    assert part.report.out_of_range == 1


def test_only_notes_inside_the_excerpt_are_counted() -> None:
    part = performance((0, 1, 108, 127), (2, 3, 60, 64)).excerpt(Excerpt(start=1.5, transpose=1, velocity_scale=1.5))
    assert part.report == NoteReport(drums=7)


def test_velocities_are_scaled_rounded_and_clamped() -> None:
    whole = performance((0, 1, 60, 1), (0, 1, 61, 5), (0, 1, 62, 7), (0, 1, 63, 127))
    assert whole.excerpt(Excerpt(velocity_scale=0.5)).notes.velocity.tolist() == [1, 2, 4, 64]
    assert whole.excerpt(Excerpt(velocity_scale=0.5)).report.velocity_clamped == 1
    assert whole.excerpt(Excerpt(velocity_scale=2.0)).notes.velocity.tolist() == [2, 10, 14, 127]
    assert whole.excerpt(Excerpt(velocity_scale=2.0)).report.velocity_clamped == 1


def test_an_excerpt_without_notes_is_refused() -> None:
    with pytest.raises(MidiError, match=r"no notes in the excerpt from 4 s to the end.*ends at 3\.000 s"):
        performance((0, 3, 60, 64)).excerpt(Excerpt(start=4))
    with pytest.raises(MidiError, match="transposed by 50"):
        performance((0, 3, 60, 64)).excerpt(Excerpt(transpose=50))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"start": -1.0}, "start"),
        ({"start": float("nan")}, "start"),
        ({"start": 2.0, "end": 2.0}, "end"),
        ({"end": float("inf")}, "end"),
        ({"transpose": 88}, "transpose"),
        ({"velocity_scale": 0.0}, "velocity_scale"),
        ({"velocity_scale": float("inf")}, "velocity_scale"),
        ({"tempo_scale": 0.0}, "tempo_scale"),
    ],
)
def test_excerpts_that_make_no_sense_are_refused(values: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is"):
        Excerpt(**values)  # type: ignore[arg-type]


def test_an_excerpt_played_twice_as_fast_takes_half_the_time() -> None:
    part = performance((0, 1, 60, 64), (2, 3, 62, 64), (4, 9, 64, 64)).excerpt(
        Excerpt(start=1.0, end=6.0, tempo_scale=2.0)
    )
    assert part.notes.onset.tolist() == [0.5, 1.5]
    assert part.notes.offset.tolist() == [1.0, 2.5]
    assert part.report.cut_at_end == 1


@pytest.mark.parametrize("tempo_scale", [1e-7, 1e-3, 1e-308, 5e-324])
def test_a_tempo_makes_nothing_longer_than_four_hours(tempo_scale: float) -> None:
    notes = Notes.of([0.0, 10.0], [1.0, 14.5], [60, 62], [64, 64])
    with pytest.raises(MidiError, match=rf"at tempo_scale {tempo_scale:g} it ends after .* at most 14400 s"):
        Performance(notes, NoteReport()).excerpt(Excerpt(tempo_scale=tempo_scale))
    slow = Performance(notes, NoteReport()).excerpt(Excerpt(end=14.0, tempo_scale=14.0 / 14_400))
    assert slow.notes.end == pytest.approx(14_400)
