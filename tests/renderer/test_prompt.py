from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import renderer
from renderer.audio.audio_file import FloatSamples
from renderer.codecs.neural_codec import NeuralCodec
from renderer.errors import AudioError, MidiError, PromptError
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from renderer.prompt import prompt_from_audio, prompt_from_files
from renderer.weights.checkpoint import find_model, load_codec

FIXTURES = Path(__file__).parent.parent / "fixtures"
MINI = Path(renderer.__path__[0]) / "weights" / "bundled" / "mini"
PROMPTS = MINI / "prompts"


class Ear:
    """A codec that keeps what it was given to encode."""

    sample_rate, frame_rate, codebooks, codebook_size, clips_at_once = 32000, 50, 4, 1024, 1

    def encode(self, audio: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        self.heard = audio
        return torch.zeros(len(audio), 4, -(-audio.shape[1] // 640), dtype=torch.int64)

    def decode(
        self, codes: torch.Tensor, lengths: torch.Tensor | None = None, notes: Sequence[Notes] | None = None
    ) -> torch.Tensor:
        raise AssertionError("a prompt is not decoded")


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    return load_codec(find_model("mini")).for_inference()


ONSETS = [0.25, 1.5, 2.75, 3.5, 4.625, 5.125]


def recording(folder: Path, rate: int, channels: int = 1, seconds: float = 6.0) -> tuple[Path, Path]:
    """A click wherever a note begins, and its MIDI; every note lasts 0.5 s."""
    audio = np.zeros((round(seconds * rate), channels), np.float32)
    for onset in ONSETS:
        audio[round(onset * rate) : round((onset + 0.002) * rate)] = 0.5
    soundfile.write(folder / "clicks.wav", audio, rate)
    notes = Notes.of(ONSETS, [onset + 0.5 for onset in ONSETS], range(60, 66), [64] * 6)
    write_midi(notes, folder / "clicks.mid")
    return folder / "clicks.wav", folder / "clicks.mid"


def clicks(audio: FloatSamples) -> list[float]:
    loud = np.abs(audio) > 0.25
    return [float(sample) / 32000 for sample in np.flatnonzero(loud[1:] & ~loud[:-1]) + 1]


def test_bundled_prompt_has_the_golden_codes(codec: NeuralCodec) -> None:
    name = "salamander-close"
    prompt = prompt_from_files(name, PROMPTS / f"{name}.wav", PROMPTS / f"{name}.mid", codec, "extend")
    with np.load(FIXTURES / "golden" / "golden.npz") as arrays:
        assert torch.equal(prompt.codes, torch.from_numpy(arrays["prompt_codes"]))
    assert prompt.prompt_id == name
    assert len(prompt.notes) > 10
    assert prompt.notes.onset.min() >= 0 and prompt.notes.onset.max() < 3 and prompt.notes.end <= 3


@pytest.mark.parametrize(("rate", "channels"), [(32000, 1), (44100, 2), (48000, 1), (22050, 2), (96000, 6)])
@pytest.mark.parametrize("start", [0.0, 1.234])
def test_audio_and_notes_are_cut_on_one_clock(tmp_path: Path, rate: int, channels: int, start: float) -> None:
    ear = Ear()
    prompt = prompt_from_files("clicks", *recording(tmp_path, rate, channels), ear, "ignore", start=start)
    assert ear.heard.shape == (1, 96_000) and ear.heard.dtype == torch.float32
    assert prompt.codes.shape == (150, 4)
    inside = [onset - start for onset in ONSETS if start <= onset < start + 3]
    np.testing.assert_allclose(prompt.notes.onset, inside, atol=2e-3)
    np.testing.assert_allclose(clicks(ear.heard[0].numpy()), inside, atol=2 / 22050)
    np.testing.assert_allclose(prompt.notes.offset, [min(onset + 0.5, 3) for onset in inside], atol=2e-3)


def test_notes_sounding_at_the_start_are_left_out(tmp_path: Path) -> None:
    prompt = prompt_from_files("late", *recording(tmp_path, 32000), Ear(), "ignore", start=1.75)
    assert prompt.notes.pitch.tolist() == [62, 63, 64]


def test_other_rates_change_few_codes(tmp_path: Path, codec: NeuralCodec) -> None:
    """Resampled to 48 kHz and back, most of the first codebook stays as it was."""
    import soxr

    original, rate = soundfile.read(PROMPTS / "salamander-close.wav", dtype="float32")
    stereo = np.repeat(soxr.resample(original, rate, 48000)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 48000, subtype="FLOAT")
    midi = PROMPTS / "salamander-close.mid"
    here = prompt_from_files("here", tmp_path / "stereo.wav", midi, codec, "extend")
    there = prompt_from_files("there", PROMPTS / "salamander-close.wav", midi, codec, "extend")
    assert here.codes.shape == (150, 4)
    assert (here.codes == there.codes)[:, 0].float().mean() > 0.5


def test_samples_in_memory_become_the_same_prompt(codec: NeuralCodec) -> None:
    name = "splendid-chamber"
    prompt = prompt_from_files(name, PROMPTS / f"{name}.wav", PROMPTS / f"{name}.mid", codec, "extend")
    samples = soundfile.read(PROMPTS / f"{name}.wav", dtype="float32")[0]
    longer = np.concatenate([samples, np.ones(500, np.float32)])
    again = prompt_from_audio("again", longer, prompt.notes, codec)
    assert torch.equal(again.codes, prompt.codes)
    np.testing.assert_array_equal(again.notes.offset, prompt.notes.offset)


def test_a_prompt_of_exactly_three_seconds_is_enough_and_one_sample_less_is_not(tmp_path: Path) -> None:
    for rate in (32000, 44100):
        audio, midi = recording(tmp_path, rate, seconds=3.0)
        assert prompt_from_files("p", audio, midi, Ear(), "ignore").codes.shape == (150, 4)
    samples = soundfile.read(audio)[0]
    soundfile.write(audio, samples[:-100], rate)
    with pytest.raises(PromptError, match=r"prompt 'p': 2\.998 s of audio, 3\.000 s are needed"):
        prompt_from_files("p", audio, midi, Ear(), "ignore")


def test_unusable_prompts_are_refused_with_a_reason(tmp_path: Path) -> None:
    audio, midi = recording(tmp_path, 32000)
    one = Notes.of([0.5], [1.0], [60], [64])
    with pytest.raises(PromptError, match="'p': silent: its peak is digital silence"):
        prompt_from_audio("p", np.zeros(96_000, np.float32), one, Ear())
    with pytest.raises(PromptError, match="silent: its peak is -60 dBFS, needed are -50 dBFS"):
        prompt_from_audio("p", np.full(96_000, 1e-3, np.float32), one, Ear())
    with pytest.raises(PromptError, match="no note begins"):
        prompt_from_audio("p", np.full(96_000, 0.1, np.float32), one.shifted(3.0), Ear())
    with pytest.raises(PromptError, match=r"1\.000 s of audio"):
        prompt_from_files("p", audio, midi, Ear(), "ignore", start=5.0)
    with pytest.raises(AudioError, match="holds no audio after 7 s"):
        prompt_from_files("p", audio, midi, Ear(), "ignore", start=7.0)
    for start in (-1.0, float("nan"), float("inf")):
        with pytest.raises(PromptError, match="start must be 0 s or later"):
            prompt_from_files("p", audio, midi, Ear(), "ignore", start=start)
    with pytest.raises(AudioError, match="absent"):
        prompt_from_files("p", tmp_path / "absent.wav", midi, Ear(), "ignore")
    with pytest.raises(MidiError):
        prompt_from_files("p", audio, tmp_path / "absent.mid", Ear(), "ignore")
