"""The onset detector: what it hears in tones whose notes are known, and in the same with faults."""

import math

import numpy as np
import pytest

from renderer.audio.audio_file import read_audio
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes
from renderer.quality.note_match import FRAMES_PER_SECOND, _band_power, key_onsets, match_notes
from renderer.weights.checkpoint import BUNDLED
from tests.renderer.tones import melody, played

RATE = 32000
NOTES = melody(3, 10.0, pace=5.0)
CLEAN = played(NOTES, 10.0)


def half(seed: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.random.default_rng(seed).uniform(size=len(NOTES)) < 0.5


def test_notes_that_are_played_are_found_and_explain_what_is_struck() -> None:
    match = match_notes(CLEAN, RATE, NOTES)
    assert match.notes == len(NOTES)
    assert match.found > 0.9
    assert match.explained > 0.8


def test_a_recording_matches_its_notes_at_any_rate_and_level() -> None:
    path = sorted((BUNDLED / "mini" / "prompts").glob("*.wav"))[0]
    notes = read_midi(path.with_suffix(".mid"), "extend").notes
    for rate, gain in ((32000, 1.0), (44100, 0.05)):
        match = match_notes(read_audio(path, rate) * np.float32(gain), rate, notes)
        assert match.found > 0.75
        assert match.explained > 0.75


def test_missing_notes_are_not_found() -> None:
    kept = half()
    match = match_notes(played(NOTES.selected(kept), 10.0), RATE, NOTES)
    assert match.found == pytest.approx(kept.mean(), abs=0.15)
    assert match.explained > 0.8


def test_notes_that_nobody_asked_for_are_not_explained() -> None:
    match = match_notes(CLEAN, RATE, NOTES.selected(half()))
    assert match.found > 0.9
    assert match.explained < 0.65


@pytest.mark.parametrize("seconds", [-0.15, 0.15])
def test_notes_at_another_time_are_neither(seconds: float) -> None:
    match = match_notes(CLEAN, RATE, NOTES.shifted(seconds))
    assert match.found < 0.5
    assert match.explained < 0.5


def test_notes_of_another_pitch_explain_nothing() -> None:
    match = match_notes(CLEAN, RATE, Notes.of(NOTES.onset, NOTES.offset, NOTES.pitch + 1, NOTES.velocity))
    assert match.found < match_notes(CLEAN, RATE, NOTES).found - 0.2
    assert match.explained < 0.3


def test_noise_and_silence_play_nothing() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    assert match_notes(noise, RATE, NOTES).found < 0.5
    assert match_notes(noise, RATE, NOTES).explained < 0.4
    silence = match_notes(np.zeros(10 * RATE, np.float32), RATE, NOTES)
    assert silence.found == 0.0
    assert math.isnan(silence.explained)


def test_without_notes_nothing_is_said() -> None:
    match = match_notes(CLEAN, RATE, Notes.none())
    assert match.notes == 0
    assert math.isnan(match.found)
    assert math.isnan(match.explained)


def test_a_sound_that_is_cut_off_at_the_beginning_is_no_strike() -> None:
    held = Notes.of([0.0, 2.0], [3.0, 2.5], [60, 67], [100, 60])
    samples = played(held, 3.0)[RATE // 2 :]
    later = held.selected([False, True]).shifted(-0.5)
    assert match_notes(samples, RATE, later).explained > 0.8


def test_audio_that_is_too_short_is_measured_all_the_same() -> None:
    match = match_notes(np.full(10, 0.1, np.float32), RATE, NOTES)
    assert match.notes == 0
    assert math.isnan(match.explained)


def test_long_audio_is_measured_in_parts_that_fit_together() -> None:
    twice = Notes.joined(NOTES, NOTES.shifted(30.0))
    match = match_notes(played(twice, 40.0), RATE, twice)
    once = match_notes(CLEAN, RATE, NOTES)
    assert match.notes == 2 * once.notes
    assert match.found == pytest.approx(once.found, abs=0.03)
    assert match.explained == pytest.approx(once.explained, abs=0.03)


def test_an_onset_is_where_the_partials_of_its_key_rise() -> None:
    """Frames and bands are those they are named for: of each note its own key stands out, in its own frame."""
    notes = melody(5, 10.0, pace=1.0)
    onsets = key_onsets(played(notes, 10.0), RATE)
    assert onsets.shape == (88, 1001)
    frame = np.rint(notes.onset * FRAMES_PER_SECOND).astype(np.int64)
    near = np.stack([onsets[notes.pitch - 21, (frame + step).clip(0, 1000)] for step in range(-2, 4)]).max(axis=0)
    elsewhere = np.quantile(onsets[notes.pitch - 21], 0.9, axis=1)
    assert (near > elsewhere + 3).mean() > 0.9


def test_the_power_of_a_band_is_what_its_triangle_covers_of_the_spectrum() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    centre = 440.0 * 2.0 ** ((np.arange(48, 120) - 69) / 12)
    width = np.maximum(centre * (2 ** (1 / 24) - 2 ** (-1 / 24)), 1.2 * 16_000 / 2048)
    triangles = np.maximum(0, 1 - np.abs(np.arange(1025) * 16_000 / 2048 - centre[:, None]) / width[:, None])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    padded = np.pad(noise, 1024)
    found = _band_power(noise)
    assert found.shape == (101, 72)
    for frame in (0, 7, 50, 100):
        spectrum = np.fft.rfft(padded[160 * frame :][:2048] * window * 2 / 2048)
        np.testing.assert_allclose(found[frame], triangles @ np.abs(spectrum) ** 2, rtol=1e-4)
