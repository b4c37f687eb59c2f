"""Quality: each fault is found by the measure that is meant for it, and a good rendering has none."""

import math

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.quality.quality import Quality, QualityThresholds, measure_quality
from tests.renderer.tones import melody, played

RATE = 32000
NOTES = melody(4, 10.0, pace=5.0)
CLEAN = played(NOTES, 10.0)


def faults(quality: Quality) -> set[str]:
    return set(QualityThresholds().faults(quality))


def test_a_good_rendering_has_no_faults() -> None:
    quality = measure_quality(CLEAN, RATE, NOTES, 10.0)
    assert faults(quality) == set()
    assert quality.length_error == 0
    assert quality.silence == 0.0
    assert quality.peak == pytest.approx(float(np.abs(CLEAN).max()))
    assert quality.rms_dbfs == pytest.approx(20 * np.log10(np.sqrt((CLEAN.astype(np.float64) ** 2).mean())))
    assert math.isnan(quality.joint_prominence)
    assert quality.score > 0.85


def test_a_sample_too_many_is_a_fault() -> None:
    quality = measure_quality(CLEAN[:-1], RATE, NOTES, 10.0)
    assert quality.length_error == 1
    assert QualityThresholds().faults(quality) == ("length_error",)


def test_clipping_is_counted() -> None:
    loud = CLEAN * np.float32(20)
    quality = measure_quality(loud, RATE, NOTES, 10.0)
    assert quality.clipped == float((np.abs(loud) > 1).mean())
    assert "clipped" in faults(quality)


def test_silence_is_a_fault_where_notes_should_sound() -> None:
    silent = CLEAN.copy()
    silent[4 * RATE : 6 * RATE] = 0
    quality = measure_quality(silent, RATE, NOTES, 10.0)
    assert 0.5 < quality.silence < 2.05
    assert "silence" in faults(quality)
    rest = NOTES.selected((NOTES.offset < 3.9) | (NOTES.onset > 6.1))
    assert measure_quality(silent, RATE, rest, 10.0).silence == 0.0


def test_nothing_at_all_is_at_fault_in_every_way() -> None:
    quality = measure_quality(np.zeros(10 * RATE, np.float32), RATE, NOTES, 10.0)
    assert faults(quality) == {"level", "silence", "notes_found"}
    assert quality.rms_dbfs == -math.inf
    assert quality.score == 0.0


def test_noise_plays_no_notes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    assert faults(measure_quality(noise, RATE, NOTES, 10.0)) >= {"attacks_explained"}


def test_a_click_at_a_joint_is_a_fault() -> None:
    sparse = melody(1, 10.0, pace=2.0)
    longest = int(np.diff(sparse.onset).argmax())
    joint = float((sparse.onset[longest] + sparse.onset[longest + 1]) / 2 + 0.03)
    samples = played(sparse, 10.0)
    assert faults(measure_quality(samples, RATE, sparse, 10.0, np.array([joint]))) == set()
    samples[round((joint - 0.05) * RATE)] += 0.3
    assert "joints" in faults(measure_quality(samples, RATE, sparse, 10.0, np.array([joint])))


def test_the_better_rendering_of_the_same_notes_scores_higher() -> None:
    kept = np.random.default_rng(0).uniform(size=len(NOTES)) < 0.7
    worse = measure_quality(played(NOTES.selected(kept), 10.0), RATE, NOTES, 10.0)
    assert worse.score < measure_quality(CLEAN, RATE, NOTES, 10.0).score - 0.05


def test_a_stretch_is_measured_by_its_own_notes() -> None:
    stretch = NOTES.clipped(4.0, 7.0).shifted(-4.0)
    held = Notes.joined(stretch, Notes.of([-0.5], [0.2], [60], [64]))
    quality = measure_quality(CLEAN[4 * RATE : 7 * RATE], RATE, held, 3.0)
    assert faults(quality) == set()


def test_without_notes_a_rest_is_a_good_rendering() -> None:
    rest = np.full(RATE, 1e-2, np.float32)
    assert faults(measure_quality(rest, RATE, Notes.none(), 1.0)) == set()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        measure_quality(np.array([np.nan], np.float32), RATE, NOTES, 1.0)
    with pytest.raises(ValueError, match="N >= 1"):
        measure_quality(np.empty(0, np.float32), RATE, NOTES, 1.0)
    with pytest.raises(ValueError, match="notes_found is 70"):
        QualityThresholds(notes_found=70)
    with pytest.raises(ValueError, match="silence is -1"):
        QualityThresholds(silence=-1)
    with pytest.raises(ValueError, match="joints is inf"):
        QualityThresholds(joints=math.inf)
    with pytest.raises(ValueError, match="level is nan"):
        QualityThresholds(level=math.nan)
