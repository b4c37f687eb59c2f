"""One subject and candidates whose faults are known."""

from typing import Any

import numpy as np
import pytest

from jobs.evaluation.measures import Measures
from jobs.evaluation.subjects import Subject
from jobs.evaluation.systems import GT, Candidate
from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from tests.renderer.tones import melody, played

pytest.importorskip("librosa")

RATE = 32_000
START = 3.0
NOTES = Notes.of([0.2, 3.2, 3.3, 5.5], [2.9, 3.8, 4.0, 6.0], [48, 60, 64, 67], [80, 80, 90, 70])
SECONDS = 8.0


def in_a_room(reverberation: float) -> FloatSamples:
    """The notes in a room that takes so long to fall by 60 dB, with a little noise."""
    random = np.random.default_rng(2)
    time = np.arange(round(reverberation * RATE)) / RATE
    room = np.append(1.0, random.normal(size=len(time) - 1) * 0.03) * 10 ** (-3 * time / reverberation)
    dry = played(NOTES, SECONDS)
    size = len(dry) + len(room)
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(room, size), size)[: len(dry)]
    return (wet + random.normal(0, 1e-4, len(dry))).astype(np.float32)


def subject(condition: str, recording: FloatSamples | None, notes: Notes = NOTES) -> Subject:
    return Subject(
        index=0,
        item_id="clip",
        condition=condition,
        notes=notes,
        seconds=SECONDS,
        sample_rate=RATE,
        start=START,
        recording=recording,
        held_out=True,
    )


def measured(recording: FloatSamples | None, **candidates: Candidate) -> dict[str, Any]:
    measures = Measures([], None, [])
    found = measures.rows(subject("a@hall", recording), {GT: Candidate(recording), **candidates})
    return {row["system"]: row for row in found}


def test_a_room_of_twice_the_decay_is_100_per_cent_off() -> None:
    rows = measured(in_a_room(0.6), wet=Candidate(in_a_room(1.2)))
    assert rows[GT]["decay"] == pytest.approx(0.6, rel=0.15)
    assert rows[GT]["decay_error"] == 0.0
    assert rows["wet"]["decay_error"] == pytest.approx(100, abs=30)
    assert rows["wet"]["held_out"] is True


def test_the_noise_floor_is_measured_at_the_same_places_of_all() -> None:
    recording = in_a_room(0.6)
    hiss = np.random.default_rng(0).normal(0, 1e-3, len(recording)) * np.where(
        np.arange(len(recording)) < 5 * RATE, 1, 2
    )
    stepped = (recording + hiss).astype(np.float32)
    rows = measured(recording, stepped=Candidate(stepped, joints=np.array([2.0, 5.0])))
    assert rows["stepped"]["noise_floor_step"] == pytest.approx(6.0, abs=0.7)  # The joint at 2 s is not measured.
    assert rows[GT]["noise_floor_step"] < 3.0
    assert "joint_prominence" not in rows[GT]


def test_without_a_recording_what_needs_none_is_measured() -> None:
    measures = Measures([], None, [])
    (row,) = measures.rows(subject("a@hall", None), {"run": Candidate(in_a_room(0.6))})
    assert row["decay"] == pytest.approx(0.6, rel=0.15)
    assert "spectrogram_gt" not in row and "level" not in row and "decay_error" not in row


def test_a_condition_of_which_no_recording_is_known_is_not_named() -> None:
    examples = []
    for seed in range(6):
        plain = played(melody(seed, 5.0), 5.0)
        examples.append(("a@hall", plain, RATE))
        examples.append(("b@small", np.convolve(plain, np.full(12, 1 / 12, np.float32), "same"), RATE))
    measures = Measures([], None, examples)
    notes = melody(20, SECONDS)
    dry = played(notes, SECONDS)
    (known,) = measures.rows(subject("a@hall", dry, notes), {GT: Candidate(dry)})
    assert [known[f"{kind}_recognised"] for kind in ("piano", "room", "condition")] == [1.0, 1.0, 1.0]
    (unknown,) = measures.rows(subject("a@cave", dry, notes), {GT: Candidate(dry)})
    assert unknown["piano_recognised"] == 1.0
    assert "room_recognised" not in unknown and "condition_recognised" not in unknown
