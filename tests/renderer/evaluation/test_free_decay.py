"""The decay of rooms that are known, because they are made here."""

import math

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.free_decay import free_decay
from renderer.midi.notes import Notes
from tests.renderer.tones import played

RATE = 32_000
NOTES = Notes.of([0.2, 2.5, 2.6, 5.0], [0.6, 3.0, 3.2, 5.5], [60, 64, 67, 72], [80, 90, 70, 100])
SECONDS = 7.5


def recorded(notes: Notes, reverberation: float, noise: float = 0.0, seconds: float = SECONDS) -> FloatSamples:
    """The notes as tones in a room that takes so long to fall by 60 dB, with background noise."""
    random = np.random.default_rng(1)
    time = np.arange(round(reverberation * RATE)) / RATE
    room = random.normal(size=len(time)) * 10 ** (-3 * time / reverberation) * 0.03
    room[0] = 1.0
    dry = played(notes, seconds)
    size = len(dry) + len(room)
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(room, size), size)[: len(dry)]
    return (wet + random.normal(size=len(dry)) * noise).astype(np.float32)


@pytest.mark.parametrize("reverberation", [0.4, 0.8, 1.6, 2.5])
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_the_reverberation_time_of_a_room_is_found(reverberation: float, noise: float) -> None:
    assert free_decay(recorded(NOTES, reverberation, noise), RATE, NOTES) == pytest.approx(reverberation, rel=0.1)


def test_it_is_the_same_at_another_level_and_with_notes_before_the_beginning() -> None:
    samples = recorded(NOTES, 0.8)
    found = free_decay(samples, RATE, NOTES)
    assert free_decay(np.float32(0.1) * samples, RATE, NOTES) == pytest.approx(found, rel=1e-3)
    assert free_decay(samples[RATE:], RATE, NOTES.shifted(-1.0)) == pytest.approx(found, rel=0.15)


def test_where_a_key_is_always_held_or_nothing_fades_nothing_is_said() -> None:
    held = Notes.of([0.0, 2.0], [3.0, SECONDS], [48, 60], [80, 80])
    assert math.isnan(free_decay(recorded(held, 0.8), RATE, held))
    assert math.isnan(free_decay(recorded(Notes.none(), 0.8, 0.01), RATE, NOTES))
    assert math.isnan(free_decay(np.zeros(RATE, np.float32), RATE, NOTES))
    assert math.isnan(free_decay(np.zeros(9, np.float32), RATE, Notes.none()))
