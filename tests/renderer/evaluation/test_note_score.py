"""Scores of notes heard, by hand."""

import math

import pytest

from renderer.evaluation.note_score import NoteScore
from renderer.midi.notes import Notes

pytest.importorskip("mir_eval")

PLAYED = Notes.of([0.0, 1.0, 2.0, 3.0], [0.5, 1.5, 2.5, 3.5], [60, 62, 64, 65], [40, 60, 80, 100])


def test_hearing_exactly_what_was_played_is_perfect() -> None:
    score = NoteScore.of(PLAYED, PLAYED)
    assert (score.onset_precision, score.onset_recall, score.onset_f1) == (1.0, 1.0, 1.0)
    assert (score.offset_f1, score.velocity_f1) == (1.0, 1.0)
    assert score.velocity_correlation == pytest.approx(1.0)
    assert score.velocity_error == 0.0


def test_onsets_offsets_and_velocities_are_distinguished() -> None:
    # The first is right, the second too long, the third 51 ms late, the fourth is missing, and one is not there.
    heard = Notes.of([0.02, 1.0, 2.051, 3.0], [0.5, 1.8, 2.5, 3.5], [60, 62, 64, 66], [40, 60, 80, 100])
    score = NoteScore.of(PLAYED, heard)
    assert (score.onset_precision, score.onset_recall, score.onset_f1) == (0.5, 0.5, 0.5)
    assert score.offset_f1 == 0.25
    assert score.velocity_f1 == 0.25
    assert math.isnan(score.velocity_correlation)
    assert score.velocity_error == 0.0  # Of the two that match by onset.


def test_precision_and_recall_are_not_swapped() -> None:
    score = NoteScore.of(PLAYED, PLAYED.selected([True, False, False, False]))
    assert (score.onset_precision, score.onset_recall, score.onset_f1) == (1.0, 0.25, 0.4)


def test_wrong_velocities_count_against_the_strictest_score_alone() -> None:
    heard = Notes.of(PLAYED.onset, PLAYED.offset, PLAYED.pitch, [100, 20, 100, 20])
    score = NoteScore.of(PLAYED, heard)
    assert (score.onset_f1, score.offset_f1) == (1.0, 1.0)
    assert score.velocity_f1 < 1
    assert score.velocity_correlation < 0
    assert score.velocity_error == pytest.approx((60 + 40 + 20 + 80) / 4)


def test_silence_where_notes_were_to_be_played_scores_0() -> None:
    score = NoteScore.of(PLAYED, Notes.none())
    assert (score.onset_precision, score.onset_recall, score.onset_f1, score.offset_f1) == (0.0, 0.0, 0.0, 0.0)
    assert NoteScore.of(Notes.none(), PLAYED).onset_f1 == 0.0
    assert math.isnan(NoteScore.of(Notes.none(), Notes.none()).onset_f1)


def test_a_note_heard_a_little_before_the_beginning_is_found() -> None:
    played = Notes.of([0.0], [1.0], [60], [64])
    assert NoteScore.of(played, Notes.of([-0.01], [1.0], [60], [64])).onset_f1 == 1.0
