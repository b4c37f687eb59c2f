"""Whether the right notes sound: what a transcriber heard beside what was to be played."""

from dataclasses import dataclass

import numpy as np

from renderer.evaluation.optional import optional_import
from renderer.midi.notes import FloatArray, IntArray, Notes

ONSET_TOLERANCE = 0.05
"""Seconds; as in MIREX and in mir_eval's defaults, as are offsets within 20 % of the duration or 50 ms."""

_QUARTER_TONE = 50.0


@dataclass(frozen=True)
class NoteScore:
    """Precision, recall and F1 of notes heard, by three standards that each ask for more than the one before.

    ``onset``: pitch and onset are right. ``offset``: the offset too. ``velocity``: the velocity too, up to a scale.
    Over the notes that match by onset: ``velocity_correlation`` is Pearson's, ``velocity_error`` the mean of absolute
    differences, of 127; NaN where they are not defined.
    """

    onset_precision: float
    onset_recall: float
    onset_f1: float
    offset_f1: float
    velocity_f1: float
    velocity_correlation: float
    velocity_error: float

    @classmethod
    def of(cls, played: Notes, heard: Notes) -> "NoteScore":
        """Score what was heard; all is NaN where nothing was to be played and nothing was heard."""
        if not len(played) and not len(heard):
            return cls(*[float("nan")] * 7)
        if not len(played) or not len(heard):
            return cls(0.0, 0.0, 0.0, 0.0, 0.0, float("nan"), float("nan"))
        by_note = optional_import("mir_eval.transcription", "a score of transcribed notes")
        by_velocity = optional_import("mir_eval.transcription_velocity", "a score of transcribed notes")
        want, got = _intervals(played), _intervals(heard)
        places = (want, _hertz(played), got, _hertz(heard))
        options = {"onset_tolerance": ONSET_TOLERANCE, "pitch_tolerance": _QUARTER_TONE}
        pairs = np.array(by_note.match_notes(*places, offset_ratio=None, **options), np.int64).reshape(-1, 2)
        precision, recall = len(pairs) / len(heard), len(pairs) / len(played)
        offset = by_note.precision_recall_f1_overlap(*places, **options)
        velocity = by_velocity.precision_recall_f1_overlap(
            want, _hertz(played), played.velocity, got, _hertz(heard), heard.velocity, **options
        )
        return cls(
            precision,
            recall,
            2 * precision * recall / (precision + recall) if len(pairs) else 0.0,
            float(offset[2]),
            float(velocity[2]),
            _correlation(played.velocity[pairs[:, 0]], heard.velocity[pairs[:, 1]]),
            _error(played.velocity[pairs[:, 0]], heard.velocity[pairs[:, 1]]),
        )


def _intervals(notes: Notes) -> FloatArray:
    """Onsets and offsets (N, 2), none before 0: transcribers hear an onset a little early, too."""
    onset = np.maximum(notes.onset, 0.0)
    return np.stack([onset, np.maximum(notes.offset, onset + 0.01)], axis=1)


def _hertz(notes: Notes) -> FloatArray:
    return np.asarray(440.0 * 2.0 ** ((notes.pitch - 69) / 12))


def _correlation(ours: IntArray, theirs: IntArray) -> float:
    if len(ours) < 3 or not ours.std() or not theirs.std():
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])


def _error(ours: IntArray, theirs: IntArray) -> float:
    return float(np.abs(ours - theirs).mean()) if len(ours) else float("nan")
