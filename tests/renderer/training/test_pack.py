"""Packs: a corpus as codes alone comes back from its file as it was, without Ray or Parquet."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from renderer.errors import TrainingError
from renderer.midi.notes import Notes
from renderer.training.pack import Pack, PackedClip

FACTS = {"grand@hall": {"decay": 1.9, "held_out": False}, "upright@close": {"decay": 0.3, "held_out": True}}


def clip(number: int, piece: str, condition: str = "grand@hall", split: str = "train") -> PackedClip:
    random = np.random.default_rng(number)
    onset = np.sort(random.uniform(0, 9, 10 + number))
    notes = Notes.of(onset, onset + 0.5, random.integers(21, 109, len(onset)), random.integers(1, 128, len(onset)))
    return PackedClip(f"clip-{number}", piece, condition, split, random.integers(0, 2048, (4, 500 + number)), notes)


def pack() -> Pack:
    clips = (
        clip(0, "fugue"),
        clip(1, "waltz"),
        clip(2, "fugue"),
        clip(3, "waltz", "upright@close"),
        clip(4, "étude", "upright@close", "validation"),
    )
    return Pack.of(clips, codec="0" * 64, frame_rate=50, facts=FACTS)


def test_clips_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    pack().save(tmp_path / "pack.safetensors")
    read = Pack.load(tmp_path / "pack.safetensors")
    assert (read.codec, read.frame_rate, read.facts) == ("0" * 64, 50, FACTS)
    assert len(read) == 5
    for number, (found, split) in enumerate(zip(read, [*["train"] * 4, "validation"], strict=True)):
        expected = clip(number, found.piece, found.condition)
        assert (found.clip_id, found.split) == (f"clip-{number}", split)
        np.testing.assert_array_equal(found.codes, expected.codes)
        np.testing.assert_array_equal(read.codes(number), expected.codes.T)
        np.testing.assert_allclose(found.notes.onset, expected.notes.onset, atol=1e-6)
        np.testing.assert_allclose(found.notes.offset, expected.notes.offset, atol=1e-6)
        np.testing.assert_array_equal(found.notes.pitch, expected.notes.pitch)
        np.testing.assert_array_equal(found.notes.velocity, expected.notes.velocity)
    assert [found.piece for found in read] == ["fugue", "waltz", "fugue", "waltz", "étude"]
    assert read.frames.tolist() == [500, 501, 502, 503, 504]
    assert read.hours == pytest.approx(2510 / 50 / 3600)


def test_a_prompt_is_another_piece_of_the_same_condition_and_split() -> None:
    assert [pack().prompts_for(index).tolist() for index in range(5)] == [[1], [0, 2], [1], [], []]
    assert pack().held_out.tolist() == [False, False, False, True, True]


def test_a_note_cut_to_next_to_nothing_is_still_one() -> None:
    cut = replace(clip(0, "fugue"), notes=Notes.of([1.0, 6.6925315], [2.0, 6.6925315 + 1e-9], [60, 62], [80, 80]))
    notes = Pack.of([cut], "", 50).notes(0)
    assert notes.pitch.tolist() == [60, 62] and 0 < notes.duration[1] < 1e-5


def test_equal_packs_have_one_fingerprint_and_others_another(tmp_path: Path) -> None:
    pack().save(tmp_path / "pack.safetensors")
    assert Pack.load(tmp_path / "pack.safetensors").fingerprint == pack().fingerprint
    assert replace(pack(), codec="1" * 64).fingerprint != pack().fingerprint


def test_files_that_are_no_packs_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    pack().save(path)
    whole = path.read_bytes()
    for content in (whole[:-100], b"no safetensors", b""):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"pack\.safetensors cannot be read as a pack"):
            Pack.load(path)
    with pytest.raises(TrainingError, match="is not a pack: its format is"):
        save_file({"codes": np.zeros(3)}, path)
        Pack.load(path)
    with pytest.raises(TrainingError, match=r"none\.safetensors cannot be read"):
        Pack.load(tmp_path / "none.safetensors")


def test_what_cannot_be_packed_is_refused() -> None:
    wide = replace(clip(1, "waltz"), codes=np.full((4, 9), 40_000))
    with pytest.raises(ValueError, match="clip-1 has codes beyond"):
        Pack.of([clip(0, "fugue"), wide], "", 50)
    fewer = replace(clip(1, "waltz"), codes=np.zeros((3, 9), np.int64))
    with pytest.raises(ValueError, match="different numbers of codebooks"):
        Pack.of([clip(0, "fugue"), fewer], "", 50)
    with pytest.raises(ValueError, match="at least one clip"):
        Pack.of([], "", 50)


def test_a_pack_is_read_without_ray_pyarrow_or_audio_libraries(tmp_path: Path) -> None:
    pack().save(tmp_path / "pack.safetensors")
    program = """
import sys
for name in ("ray", "pyarrow", "boto3", "soundfile", "soxr", "miditoolkit", "typer"):
    sys.modules[name] = None
from pathlib import Path
from renderer.training.pack import Pack
print(len(Pack.load(Path(sys.argv[1]))))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "pack.safetensors")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "5\n"
