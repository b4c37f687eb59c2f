"""A piano from a soundfont, by the program fluidsynth: exact, and clear about what is missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE, reference_gain
from renderer.pianos.soundfont import PROGRAM, SoundfontPiano
from tests.renderer.pianos.tiny_soundfont import write_soundfont

needs_program = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")


@pytest.fixture(scope="session")
def piano(tmp_path_factory: pytest.TempPathFactory) -> SoundfontPiano:
    return SoundfontPiano(write_soundfont(tmp_path_factory.mktemp("soundfont") / "sine.sf2"))


@needs_program
def test_notes_sound_where_and_as_long_as_their_labels_say(piano: SoundfontPiano) -> None:
    notes = Notes.of([0.1, 0.9], [0.5, 1.2], [69, 57], [100, 100])
    audio = np.abs(piano.play(notes, 2 * SAMPLE_RATE))
    sounding = np.flatnonzero(audio > 0.1 * audio.max()) / SAMPLE_RATE
    first, second = sounding[sounding < 0.7], sounding[sounding > 0.7]
    assert first[0] == pytest.approx(0.1, abs=0.005)
    assert first[-1] == pytest.approx(0.5, abs=0.02)
    assert second[0] == pytest.approx(0.9, abs=0.005)
    assert second[-1] == pytest.approx(1.2, abs=0.02)


@needs_program
def test_audio_has_exactly_the_samples_asked_for(piano: SoundfontPiano) -> None:
    notes = Notes.of([0.0], [0.5], [69], [100])
    for samples in (1, 12_345, 4 * SAMPLE_RATE):
        assert piano.play(notes, samples).shape == (samples,)
    assert not piano.play(Notes.none(), 100).any()


@needs_program
def test_the_same_notes_are_the_same_audio(piano: SoundfontPiano) -> None:
    notes = Notes.of([0.0, 0.2], [0.5, 0.6], [69, 73], [100, 40])
    np.testing.assert_array_equal(piano.play(notes, 30_000), piano.play(notes, 30_000))


@needs_program
def test_it_is_as_loud_as_other_pianos(piano: SoundfontPiano) -> None:
    assert reference_gain(piano.play) == pytest.approx(1.0, abs=1e-3)


@needs_program
def test_a_file_that_is_no_soundfont_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.sf2").write_bytes(b"RIFF no soundfont")
    with pytest.raises(AudioError, match=r"broken\.sf2"):
        SoundfontPiano(tmp_path / "broken.sf2")


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="fluidsynth, which is not installed"):
        PianoFiles(tmp_path / "any.sf2").open()


def test_another_preset_or_content_is_another_piano(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "sine.sf2")
    prints = {PianoFiles(path).fingerprint(), PianoFiles(path, 0, 1).fingerprint()}
    path.write_bytes(path.read_bytes() + b"x")
    assert len(prints | {PianoFiles(path).fingerprint()}) == 3
    with pytest.raises(AudioError, match="no such soundfont"):
        PianoFiles(tmp_path / "other.sf2").fingerprint()
