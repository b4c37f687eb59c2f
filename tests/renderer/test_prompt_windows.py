"""Which 3 s are taken: those with many notes on many keys, of which none is cut."""

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.prompt_windows import best_windows
from tests.renderer.tones import melody


def phrase(start: float, keys: list[int], gap: float = 0.25, length: float = 0.2) -> Notes:
    onset = start + gap * np.arange(len(keys))
    return Notes.of(onset, onset + length, keys, [70] * len(keys))


RICH = [40, 52, 55, 60, 64, 67, 72, 76, 79, 84]
POOR = [60, 60, 60, 60, 60, 60]


def test_a_varied_phrase_is_preferred_and_begins_before_its_first_strike() -> None:
    notes = Notes.joined(phrase(1.0, POOR), phrase(10.0, RICH), phrase(20.0, POOR))
    best, *others = best_windows(notes, 5, 0.0, 60.0)
    assert best.start == pytest.approx(10.0 - 0.12)
    assert (best.notes, best.keys, best.sounding_at_start, best.cut_at_end) == (10, 10, 0, 0)
    assert sorted(round(each.start, 2) for each in others) == [0.88, 19.88]
    assert [each.score for each in [best, *others]] == sorted((each.score for each in [best, *others]), reverse=True)


def test_a_window_into_which_notes_ring_is_worse() -> None:
    ringing = Notes.of([8.0, 8.1, 8.2], [11.5, 11.5, 11.5], [45, 47, 48], [60, 60, 60])
    notes = Notes.joined(ringing, phrase(10.0, RICH), phrase(20.0, RICH), phrase(30.0, POOR))
    best = best_windows(notes, 1, 0.0, 60.0)[0]
    assert best.start == pytest.approx(20.0 - 0.12)
    over = next(each for each in best_windows(notes, 9, 0.0, 60.0) if abs(each.start - 9.88) < 0.01)
    assert over.sounding_at_start == 3


def test_notes_that_go_on_over_the_end_are_counted() -> None:
    notes = Notes.joined(phrase(1.0, RICH), Notes.of([3.0, 3.1], [9.0, 9.0], [30, 31], [60, 60]))
    window = next(each for each in best_windows(notes, 3, 0.0, 60.0) if abs(each.start - 0.88) < 0.01)
    assert (window.notes, window.cut_at_end) == (12, 2)


def test_windows_do_not_overlap_lie_within_the_music_and_are_the_same_each_time() -> None:
    notes = melody(0, 60.0)
    windows = best_windows(notes, 8, 0.0, 60.0)
    assert len(windows) == 8
    starts = np.sort([window.start for window in windows])
    assert np.diff(starts).min() >= 3.0
    assert starts.min() >= 0
    assert max(window.end for window in windows) <= 60.0
    assert windows == best_windows(notes, 8, 0.0, 60.0)
    for window in windows:
        inside = (notes.onset >= window.start) & (notes.onset < window.end)
        rings = (notes.onset < window.start) & (notes.offset > window.start)
        cut = (notes.onset < window.end) & (notes.offset > window.end)
        assert (window.notes, window.sounding_at_start, window.cut_at_end) == (inside.sum(), rings.sum(), cut.sum())
        assert window.keys == len(set(notes.pitch[inside]))


def test_a_recording_of_3_s_has_one_window_and_a_shorter_one_or_one_of_three_notes_none() -> None:
    assert [window.start for window in best_windows(phrase(0.05, RICH[:6]), 3, 0.0, 3.0)] == [0.0]
    assert [window.start for window in best_windows(phrase(1.0, RICH[:6]), 3, 0.25, 3.5)] == [0.5]
    assert best_windows(phrase(0.05, RICH[:6]), 3, 0.0, 2.9) == []
    assert best_windows(phrase(0.5, RICH[:3]), 3, 0.0, 60.0) == []
    assert best_windows(Notes.none(), 3, 0.0, 60.0) == []
