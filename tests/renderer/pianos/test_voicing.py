"""Voicing: what is done to a piano is heard, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from renderer.pianos.action_noise import add_action_noise
from renderer.pianos.bank import open_bank
from renderer.pianos.piano import REFERENCE_LEVEL, SAMPLE_RATE, Piano
from renderer.pianos.sampled_piano import SampledPiano
from renderer.pianos.samples import find_samples
from renderer.pianos.soundfont import PROGRAM, SoundfontPiano
from renderer.pianos.voicing import Voicing
from tests.renderer.pianos.recordings import write_recordings
from tests.renderer.pianos.tiny_soundfont import write_soundfont


@pytest.fixture(scope="module")
def piano(tmp_path_factory: pytest.TempPathFactory) -> SampledPiano:
    folder = tmp_path_factory.mktemp("piano")
    return SampledPiano(open_bank(find_samples(write_recordings(folder / "recordings")), folder / "banks"))


def note(pitch: int = 69, velocity: int = 80, seconds: float = 1.0) -> Notes:
    return Notes.of([0.0], [seconds], [pitch], [velocity])


def cents_above(audio: FloatSamples, pitch: int) -> float:
    """How far the strongest partial is above a key's pitch in equal temperament."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 16 * len(audio)))
    frequency = spectrum.argmax() * SAMPLE_RATE / (16 * len(audio))
    return float(1200 * np.log2(frequency / 440) - 100 * (pitch - 69))


def power(audio: FloatSamples, lowest: float = 0.0, highest: float = SAMPLE_RATE / 2) -> float:
    spectrum = np.abs(np.fft.rfft(audio)) ** 2
    frequency = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return float(spectrum[(frequency >= lowest) & (frequency < highest)].sum())


@pytest.mark.parametrize("pitch", [33, 60, 69, 93])
def test_every_key_is_as_far_from_its_recording_as_the_tuning_says(piano: SampledPiano, pitch: int) -> None:
    voicing = Voicing(pitch=7.0, stretch=10.0, spread=3.0, seed=5)
    expected = voicing.cents()[pitch]
    assert abs(expected) > 0.5
    change = cents_above(piano.play(note(pitch), SAMPLE_RATE, voicing), pitch) - cents_above(
        piano.play(note(pitch), SAMPLE_RATE), pitch
    )
    assert change == pytest.approx(expected, abs=0.7)


def test_stretch_raises_the_treble_and_lowers_the_bass() -> None:
    cents = Voicing(stretch=12.0).cents()
    assert cents[108] == pytest.approx(12.0) and cents[60] == 0 and -8 < cents[21] < -4
    assert np.diff(cents).min() >= 0


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")
def test_soundfonts_are_tuned_as_well(tmp_path: Path) -> None:
    piano: Piano = SoundfontPiano(write_soundfont(tmp_path / "sine.sf2"))
    plain, tuned = (piano.play(note(), SAMPLE_RATE, each) for each in (Voicing(), Voicing(pitch=20.0)))
    assert cents_above(tuned, 69) - cents_above(plain, 69) == pytest.approx(20.0, abs=1.0)


def test_tuned_notes_begin_when_others_do_and_last_as_long(piano: SampledPiano) -> None:
    notes = Notes.of([0.1, 0.6], [0.5, 2.0], [69, 76], [80, 80])
    plain, tuned = (np.abs(piano.play(notes, 3 * SAMPLE_RATE, each)) for each in (Voicing(), Voicing(pitch=25.0)))
    for audio in (plain, tuned):
        sounding = np.flatnonzero(audio > 0.1 * audio.max()) / SAMPLE_RATE
        assert sounding[0] == pytest.approx(0.1, abs=0.004)
        assert sounding[sounding < 0.59][-1] == pytest.approx(0.6, abs=0.1)
    assert np.sum(tuned**2) == pytest.approx(np.sum(plain**2), rel=0.03)


def test_hard_hammers_take_a_brighter_sound_at_the_same_loudness(tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "recordings")
    for path in (folder / "layer3").iterdir():  # The loudest layer has an overtone.
        sound, rate = soundfile.read(path)
        soundfile.write(path, sound + 0.3 * sound**3 / sound.max() ** 2, rate, "FLOAT")
    piano = SampledPiano(open_bank(find_samples(folder), tmp_path / "banks"))
    soft, hard = (piano.play(note(velocity=60), SAMPLE_RATE, Voicing(hardness=each)) for each in (0.0, 40.0))
    assert power(soft, 1000) < 0.3 * power(hard, 1000)
    assert power(hard) == pytest.approx(power(soft), rel=0.2)


def test_brightening_raises_treble_of_loud_notes_and_lowers_that_of_soft_ones(piano: SampledPiano) -> None:
    for velocity, decibels in ((127, 5.1), (64, 0.0), (1, -3.6)):
        treble = note(pitch=105, velocity=velocity)  # At 3.5 kHz, of which the filter passes most.
        plain, bright = (power(piano.play(treble, SAMPLE_RATE, Voicing(brightening=each))) for each in (0.0, 6.0))
        assert 10 * np.log10(bright / plain) == pytest.approx(decibels, abs=0.5)
        bass = note(pitch=33, velocity=velocity)
        plain, bright = (power(piano.play(bass, SAMPLE_RATE, Voicing(brightening=each))) for each in (0.0, 6.0))
        assert 10 * np.log10(bright / plain) == pytest.approx(0.0, abs=0.2)


def test_dynamics_widen_what_lies_between_soft_and_loud(piano: SampledPiano) -> None:
    def span(dynamics: float) -> float:
        soft, loud = (power(piano.play(note(velocity=v), SAMPLE_RATE, Voicing(dynamics=dynamics))) for v in (30, 120))
        return float(10 * np.log10(loud / soft))

    assert span(1.2) == pytest.approx(1.2 * span(1.0), rel=0.02)


def test_slow_dampers_let_a_key_sound_longer_after_its_release(piano: SampledPiano) -> None:
    tails = [piano.play(note(seconds=0.5), SAMPLE_RATE, Voicing(damping=damping))[16_000:] for damping in (0.5, 1, 2)]
    assert power(tails[0]) < 0.7 * power(tails[1]) < 0.5 * power(tails[2])


def test_hammers_knock_as_loud_as_stated_at_onsets_and_dampers_at_offsets() -> None:
    notes = Notes.of([0.5], [1.0], [60], [80])
    for voicing, time in ((Voicing(knock=-20.0), 0.5), (Voicing(dampers=-20.0), 1.0)):
        audio = np.zeros(2 * SAMPLE_RATE, np.float32)
        add_action_noise(audio, notes, voicing)
        start = round(time * SAMPLE_RATE)
        assert not audio[:start].any() and not audio[start + SAMPLE_RATE // 5 :].any()
        level = np.sqrt(np.mean(audio[start : start + SAMPLE_RATE // 50] ** 2))
        assert 20 * np.log10(level / REFERENCE_LEVEL) == pytest.approx(-20.0, abs=2.0)
        assert power(audio, 6000) < 0.1 * power(audio)
    audio = np.zeros(SAMPLE_RATE, np.float32)
    add_action_noise(audio, notes, Voicing())
    assert not audio.any()


def test_noises_at_the_end_are_cut_off() -> None:
    audio = np.zeros(SAMPLE_RATE, np.float32)
    add_action_noise(audio, Notes.of([0.99], [2.0], [60], [80]), Voicing(knock=0.0, dampers=0.0))
    assert audio[round(0.99 * SAMPLE_RATE) :].any()
