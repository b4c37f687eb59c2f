"""Where performances are cut into clips."""

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.pianos.clips import ClipLengths, cut_clips

LENGTHS = ClipLengths(10.0, 30.0)


def performance(seconds: float, notes_per_second: float = 5.0, seed: int = 0) -> Notes:
    random = np.random.default_rng(seed)
    onset = np.sort(random.uniform(0, seconds - 1, round(seconds * notes_per_second)))
    duration = random.exponential(0.6, len(onset)) + 0.05
    pitch = random.integers(30, 90, len(onset))
    return Notes.of(onset, np.minimum(onset + duration, seconds), pitch, random.integers(20, 110, len(onset)))


def cuts(notes: Notes, lengths: ClipLengths = LENGTHS, seed: int = 0) -> list[tuple[float, float]]:
    return list(cut_clips(notes, lengths, np.random.default_rng(seed)))


@pytest.mark.parametrize("seconds", [12.0, 29.0, 31.0, 47.0, 180.0, 601.0])
def test_every_note_is_struck_in_a_clip_of_the_lengths_allowed(seconds: float) -> None:
    notes = performance(seconds)
    clips = cuts(notes)
    struck = np.zeros(len(notes), np.bool_)
    for start, end in clips:
        assert 10.0 - 1e-9 <= end - start <= 30.0 + 1e-9
        struck |= (notes.onset >= start) & (notes.onset < end)
    assert struck.all()


def test_cuts_are_drawn_by_the_seed_alone() -> None:
    notes = performance(300.0)
    assert cuts(notes, seed=1) == cuts(notes, seed=1)
    assert cuts(notes, seed=1) != cuts(notes, seed=2)


def test_a_cut_falls_into_the_rest_between_two_phrases() -> None:
    phrases = [performance(2.5, seed=n).shifted(3.0 * n) for n in range(40)]
    notes = Notes.joined(*phrases)
    inside = [end for _, end in cuts(notes) if end < notes.end]
    assert len(inside) > 3
    for end in inside:
        assert any(3.0 * n + 1.5 < end <= 3.0 * n + 3.5 for n in range(40))
        assert not ((notes.onset < end - 1e-9) & (notes.offset > end)).any()


def test_silence_before_a_clip_is_left_out() -> None:
    notes = Notes.joined(performance(20.0).shifted(60.0), performance(20.0, seed=1).shifted(300.0))
    clips = cuts(notes)
    assert len(clips) == 2
    for start, end in clips:
        first = float(notes.onset[notes.onset >= start][0])
        assert 0.0 <= first - start < 0.25
        assert end - start <= 30.0


def test_clips_in_which_next_to_nothing_is_played_are_none() -> None:
    assert cuts(Notes.none()) == []
    assert cuts(Notes.of([0.0, 1.0], [20.0, 20.0], [60, 64], [64, 64])) == []


@pytest.mark.parametrize(("shortest", "longest"), [(10, 12), (0.5, 30), (20, 10)])
def test_lengths_that_leave_no_choice_are_refused(shortest: float, longest: float) -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        ClipLengths(shortest, longest)
