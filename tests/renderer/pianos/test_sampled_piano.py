"""A piano from recordings: pitch, moment, loudness and length of what it plays."""

from pathlib import Path

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.pianos.bank import open_bank
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import REFERENCE_LEVEL, SAMPLE_RATE, reference_gain
from renderer.pianos.sampled_piano import SampledPiano
from renderer.pianos.samples import find_samples
from tests.renderer.pianos.recordings import write_recordings


@pytest.fixture(scope="session")
def piano(tmp_path_factory: pytest.TempPathFactory) -> SampledPiano:
    folder = tmp_path_factory.mktemp("piano")
    return SampledPiano(open_bank(find_samples(write_recordings(folder / "recordings")), folder / "banks"))


def level(samples: FloatSamples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("pitch", [21, 26, 45, 60, 69, 88, 108])
def test_every_key_sounds_at_its_pitch_though_few_were_recorded(piano: SampledPiano, pitch: int) -> None:
    audio = piano.play(Notes.of([0.0], [1.0], [pitch], [80]), SAMPLE_RATE)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    assert abs(int(spectrum.argmax()) - 440 * 2 ** ((pitch - 69) / 12)) < 1.0


def test_sound_rises_within_five_milliseconds_of_a_label(piano: SampledPiano) -> None:
    onset = np.array([0.05, 0.4, 0.80003, 1.31])
    audio = np.abs(piano.play(Notes.of(onset, onset + 0.1, [60, 40, 76, 95], [30, 64, 100, 127]), 2 * SAMPLE_RATE))
    for time in onset:
        label = round(time * SAMPLE_RATE)
        before = audio[label - 200 : label].max()
        after = audio[label : label + SAMPLE_RATE // 200].max()
        assert after > 10 * before + 0.005


def test_audio_has_exactly_the_samples_asked_for(piano: SampledPiano) -> None:
    notes = Notes.of([0.0, 0.9], [0.5, 5.0], [60, 64], [80, 80])
    long = piano.play(notes, 3 * SAMPLE_RATE)
    for samples in (1, 777, SAMPLE_RATE):
        part = piano.play(notes, samples)
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, long[:samples])


def test_loudness_grows_with_every_velocity(piano: SampledPiano) -> None:
    levels = [level(piano.play(Notes.of([0.0], [1.0], [60], [v]), SAMPLE_RATE)) for v in range(4, 127, 3)]
    assert np.diff(levels).min() > 0
    assert levels[-1] > 8 * levels[0]


def test_a_released_key_is_damped_and_a_held_one_is_not(piano: SampledPiano) -> None:
    short, held = (
        piano.play(Notes.of([0.0], [end], [60], [80]), 2 * SAMPLE_RATE)[SAMPLE_RATE : SAMPLE_RATE + 8000]
        for end in (0.5, 2.0)
    )
    assert level(held) > 100 * level(short)


def test_the_highest_keys_have_no_dampers(piano: SampledPiano) -> None:
    audio = piano.play(Notes.of([0.0], [0.2], [100], [80]), SAMPLE_RATE)
    assert level(audio[16_000:17_000]) > 0.1 * level(audio[1_000:2_000])


def test_dampers_are_heard_where_they_were_recorded(tmp_path: Path, piano: SampledPiano) -> None:
    recordings = write_recordings(tmp_path / "recordings", releases=True)
    noisy = SampledPiano(open_bank(find_samples(recordings), tmp_path / "banks"))
    notes = Notes.of([0.0], [0.5], [60], [80])
    ratio = np.abs(noisy.play(notes, SAMPLE_RATE)).max() / np.abs(piano.play(notes, SAMPLE_RATE)).max()
    difference = np.abs(noisy.play(notes, SAMPLE_RATE) - ratio * piano.play(notes, SAMPLE_RATE))
    assert difference[: SAMPLE_RATE // 2].max() < 1e-4 < difference[SAMPLE_RATE // 2 :].max()


def test_all_pianos_are_equally_loud(tmp_path: Path, piano: SampledPiano) -> None:
    assert reference_gain(piano.play) == pytest.approx(1.0, abs=1e-3)
    assert REFERENCE_LEVEL == 0.02


def test_a_bank_is_made_once_and_mapped_into_memory(tmp_path: Path) -> None:
    samples = find_samples(write_recordings(tmp_path / "recordings", range(21, 109, 24)))
    bank = open_bank(samples, tmp_path / "banks")
    assert isinstance(bank.audio, np.memmap)
    file = next((tmp_path / "banks").glob("*/audio.int16"))
    made = file.stat().st_mtime_ns
    again = open_bank(samples, tmp_path / "banks")
    assert file.stat().st_mtime_ns == made
    np.testing.assert_array_equal(again.audio, bank.audio)


def test_a_changed_recording_is_another_piano(tmp_path: Path) -> None:
    folder = write_recordings(tmp_path, range(21, 109, 24))
    before = PianoFiles(folder).fingerprint()
    assert PianoFiles(folder).fingerprint() == before
    path = next(folder.rglob("A0v2.wav"))
    path.write_bytes(path.read_bytes()[:-4])
    assert PianoFiles(folder).fingerprint() != before


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.wav").write_bytes(b"x")
    with pytest.raises(AudioError, match="holds no recordings of piano keys"):
        PianoFiles(tmp_path).open()
    with pytest.raises(AudioError, match="neither a folder of recordings"):
        PianoFiles(tmp_path / "piano.xyz").open()


def test_a_damaged_recording_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write_recordings(tmp_path / "recordings", range(21, 109, 24))
    next(folder.rglob("A2v2.wav")).write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"A2v2\.wav"):
        PianoFiles(folder).open()
    assert not list((tmp_path / "cache").rglob("audio.int16"))
