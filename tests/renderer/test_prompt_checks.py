"""Recordings that can be read but make misleading prompts: scales, offsets, clipping, phases, clocks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

import renderer
from renderer.audio.audio_file import FloatSamples, read_audio
from renderer.codecs.neural_codec import NeuralCodec
from renderer.errors import AudioError, PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes
from renderer.prompt import prompt_from_audio, prompt_from_files
from renderer.prompt_checks import lateness, why_unsound
from renderer.weights.checkpoint import find_model, load_codec

PROMPTS = Path(renderer.__path__[0]) / "weights" / "bundled" / "mini" / "prompts"
NAMES = sorted(path.stem for path in PROMPTS.glob("*.wav"))
RATE = 32_000


def prompt_files(name: str) -> tuple[FloatSamples, Notes]:
    return read_audio(PROMPTS / f"{name}.wav", RATE), read_midi(PROMPTS / f"{name}.mid").notes


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    return load_codec(find_model("mini")).for_inference()


@pytest.mark.parametrize("name", NAMES)
def test_good_prompts_pass_at_every_level(name: str) -> None:
    samples, notes = prompt_files(name)
    for gain in (0.05, 1.0, 1.2 / np.abs(samples).max()):
        assert why_unsound(samples * np.float32(gain)) is None
        assert lateness(samples * np.float32(gain), RATE, notes) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("late", [-1.0, -0.5, 0.5, 1.0])
def test_audio_that_begins_at_another_moment_than_its_midi_is_refused_with_the_offset(
    name: str, late: float, codec: NeuralCodec
) -> None:
    samples, notes = prompt_files(name)
    gap = np.zeros(round(abs(late) * RATE), np.float32)
    moved = np.concatenate([gap, samples] if late > 0 else [samples[len(gap) :], gap])[: 3 * RATE]
    found = lateness(moved, RATE, notes)
    assert found == pytest.approx(late, abs=0.06)
    with pytest.raises(PromptError, match=rf"'p': its audio is \d\.\d\d s {'late' if late > 0 else 'early'} against"):
        prompt_from_audio("p", moved, notes, codec)


def test_a_few_notes_and_notes_that_repeat_say_nothing_of_clocks() -> None:
    samples, notes = prompt_files(NAMES[0])
    few = notes.selected(np.arange(len(notes)) < 3)
    assert lateness(np.roll(samples, RATE), RATE, few) is None
    assert lateness(np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32), RATE, notes) is None


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda x: x * 32768, r"its peak is .*, and full scale is 1: .* 16-bit integers, perhaps; divide by 32768"),
        (lambda x: x * 2.0**23, r"24-bit integers, perhaps; divide by 8388608"),
        (lambda x: x + 0.4, r"its mean is 0\.40\d, which is no sound \(a DC offset\)"),
        (lambda x: x - 0.4, r"its mean is -0\.\d+, which is no sound"),
        (lambda x: np.clip(x * 10 / np.abs(x).max(), -1, 1), r"\d+% of its samples lie at its largest level, 1\.000"),
        (lambda x: np.clip(x * 10 / np.abs(x).max(), -1, 1) * 0.3, r"largest level, 0\.300: it is clipped"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_the_sound_that_was_played_is_refused(
    name: str, spoilt: object, reason: str, tmp_path: Path
) -> None:
    assert callable(spoilt)
    samples, _ = prompt_files(name)
    soundfile.write(tmp_path / "p.wav", spoilt(samples).astype(np.float32), RATE, subtype="FLOAT")
    with pytest.raises(PromptError, match=f"prompt 'p': .*{reason}"):
        prompt_from_files("p", tmp_path / "p.wav", PROMPTS / f"{name}.mid", load_codec(find_model("mini")), "extend")


@pytest.mark.parametrize("other", [-1.0, -0.97, -0.9])
def test_channels_out_of_phase_are_heard_as_one_of_them(other: float, codec: NeuralCodec, tmp_path: Path) -> None:
    samples, _ = prompt_files("salamander-close")
    soundfile.write(tmp_path / "p.wav", np.stack([samples, other * samples], axis=1), RATE, subtype="FLOAT")
    midi = PROMPTS / "salamander-close.mid"
    one = prompt_from_files("p", PROMPTS / "salamander-close.wav", midi, codec, "extend")
    assert torch.equal(prompt_from_files("p", tmp_path / "p.wav", midi, codec, "extend").codes, one.codes)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_that_do_not_cancel_are_averaged(channels: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, channels)).astype(np.float32)
    silent = np.concatenate([noise[:, :1], np.zeros_like(noise[:, 1:])], axis=1)
    for content in (noise, silent):
        soundfile.write(tmp_path / "a.wav", content, RATE, subtype="FLOAT")
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", RATE), content.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_one_sample_short_at_another_rate_is_long_enough(rate: int, codec: NeuralCodec, tmp_path: Path) -> None:
    samples, _ = prompt_files("splendid-close")
    soundfile.write(tmp_path / "p.wav", soxr.resample(samples, RATE, rate)[: 3 * rate - 1], rate, subtype="FLOAT")
    prompt = prompt_from_files("p", tmp_path / "p.wav", PROMPTS / "splendid-close.mid", codec, "extend")
    assert prompt.codes.shape == (150, codec.codebooks)


def test_what_cannot_be_read_is_reported_with_what_can(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom" + bytes(1000))
    with pytest.raises(AudioError, match=r"a\.m4a: cannot be read as audio: Format not recogni.ed \(WAV.*ffmpeg"):
        read_audio(tmp_path / "a.m4a", RATE)


def test_a_wav_that_was_streamed_is_read_or_known_from_an_empty_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    size = whole.index(b"data") + 4
    (tmp_path / "a.wav").write_bytes(whole[:size] + bytes(4) + whole[size + 4 :])
    with pytest.raises(AudioError, match=r"its header says that no audio follows, .*ffmpeg -i streamed.wav whole.wav"):
        read_audio(tmp_path / "a.wav", RATE)
    (tmp_path / "a.wav").write_bytes(whole[:size] + bytes(4))
    with pytest.raises(AudioError, match=r"holds no audio$"):
        read_audio(tmp_path / "a.wav", RATE)
    (tmp_path / "a.wav").write_bytes(whole[:size] + b"\xff" * 4 + whole[size + 4 :])
    assert len(read_audio(tmp_path / "a.wav", RATE)) == 1000
