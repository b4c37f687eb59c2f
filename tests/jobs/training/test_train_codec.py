"""``midi-valle train-codec``: from a corpus to a codec that trains and renders, interrupted and resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.errors import JobError
from jobs.training.processes import FINISHED
from jobs.training.train_codec import train_codec
from jobs.training.train_codec_options import TrainCodecOptions
from jobs.training.train_model import train_model
from jobs.training.train_options import TrainOptions
from renderer.codecs.encodec_codec import EncodecCodec, read_audiocraft_export
from renderer.codecs.sinusoidal_codec import SinusoidalCodec
from renderer.errors import TrainingError
from renderer.training.history import Record, read_history
from renderer.weights.checkpoint import find_codec, load_codec
from renderer.weights.weight_files import read_weights
from tests.jobs.support.train_corpus import make_model, make_training_corpus

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {
    "steps": 6,
    "batch": 2,
    "crop_seconds": 0.5,
    "unquantized": 3,
    "warmup": 2,
    "precision": "fp32",
    "checkpoint_every": 2,
    "validate_every": 3,
    "validation_crops": 2,
    "log_every": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_corpus(tmp_path_factory.mktemp("corpus"), make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "training"
    assert train(corpus, out) == FINISHED
    return out


def train(corpus: Path, out: Path, **options: Any) -> int:
    return train_codec(TrainCodecOptions(corpus=str(corpus), out=str(out), **{**SMALL, **options}))


def curve(out: Path) -> list[Record]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in read_history(out / "history.jsonl")]


def test_training_leaves_a_codec_curves_and_a_card(undisturbed: Path) -> None:
    description = find_codec(str(undisturbed / "codec"))
    codec = load_codec(description)
    assert isinstance(codec, SinusoidalCodec) and description.sample_rate == 32000
    with torch.no_grad():
        audio = codec.decode(codec.encode(torch.rand(1, 32000) - 0.5))
    assert audio.shape == (1, 32000) and audio.isfinite().all()
    steps = [record["step"] for record in curve(undisturbed) if "spectral" in record]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [r["step"] for r in curve(undisturbed) if "valid_spectral" in r] == [3, 6]
    assert "<svg" in (undisturbed / "curves.svg").read_text()


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(undisturbed: Path, corpus: Path, tmp_path: Path) -> None:
    assert train(corpus, tmp_path / "out", stop_at=2) == FINISHED
    assert train(corpus, tmp_path / "out", stop_at=5) == FINISHED
    assert train(corpus, tmp_path / "out") == FINISHED
    ours = [record for record in curve(tmp_path / "out") if "spectral" in record]
    assert ours == [record for record in curve(undisturbed) if "spectral" in record]


def test_another_course_is_refused_in_the_same_folder(undisturbed: Path, corpus: Path) -> None:
    with pytest.raises(TrainingError, match=r"batch was 2, is 4.*rate was 0.0008, is 0.001"):
        train(corpus, undisturbed, batch=4, rate=1e-3)


def test_a_language_model_is_trained_on_the_codes_of_the_codec(undisturbed: Path, corpus: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        corpus=str(corpus),
        out=str(tmp_path / "model"),
        codec=str(undisturbed / "codec"),
        d_model=32,
        heads=2,
        layers=1,
        longest=2.5,
        shortest=1.0,
        steps=1,
        warmup=1,
        batch=2,
        micro_batch=2,
        precision="fp32",
        validate_every=0,
        sample_every=0,
        device="cpu",
    )
    assert train_model(options) == FINISHED
    assert isinstance(load_codec(find_codec(str(tmp_path / "model/model"))), SinusoidalCodec)


def test_a_codec_is_note_conditioned_only_where_it_is_trained_so(corpus: Path, tmp_path: Path) -> None:
    assert train(corpus, tmp_path / "deaf", told=0.0, steps=1, warmup=1) == FINISHED
    deaf = load_codec(find_codec(str(tmp_path / "deaf" / "codec")))
    assert isinstance(deaf, SinusoidalCodec) and not deaf.config.told_notes
    kept = {"init": str(tmp_path / "deaf" / "codec"), "keep_codes": True, "steps": 1, "warmup": 1}
    assert train(corpus, tmp_path / "listening", **kept) == FINISHED
    listening = load_codec(find_codec(str(tmp_path / "listening" / "codec")))
    assert isinstance(listening, SinusoidalCodec) and listening.config.told_notes
    audio = torch.rand(1, 32000) - 0.5
    assert torch.equal(listening.encode(audio), deaf.encode(audio))
    assert train(corpus, tmp_path / "still", told=0.0, **kept) == FINISHED
    still = load_codec(find_codec(str(tmp_path / "still" / "codec")))
    assert isinstance(still, SinusoidalCodec) and not still.config.told_notes


def test_audiocrafts_file_is_fine_tuned_into_audiocrafts_file(corpus: Path, tmp_path: Path) -> None:
    source = ROOT / "tests/fixtures/codec_small.bin"
    assert train(corpus, tmp_path / "out", init=str(source), steps=2, waveform=0.1) == FINISHED
    _, before = read_audiocraft_export(read_weights(source, "an EnCodec"))
    config, after = read_audiocraft_export(read_weights(tmp_path / "out/codec/audiocraft.bin", "an EnCodec"))
    assert after.keys() == before.keys()
    assert any(not torch.equal(after[name], before[name]) for name in before)
    EncodecCodec(config).load_state_dict(after)


def by_recipe(corpus: Path, out: Path, *more: str) -> Any:
    """``train-codec --recipe encodec`` of a small EnCodec, with what a test has no time for made small."""
    small = ["--batch", "4", "--crop-seconds", "0.5", "--adversary-filters", "2", "--steps", "24", "--device", "cpu"]
    pace = ["--checkpoint-every", "8", "--validate-every", "24", "--validation-crops", "2", "--log-every", "8"]
    init = ["--init", str(ROOT / "tests/fixtures/codec_small.bin"), "--recipe", "encodec", "--rate", "1e-3"]
    arguments = ["train-codec", str(corpus), "--out", str(out), *init, *small, *pace, *more]
    return CliRunner().invoke(midi_valle_app(), arguments)


def test_encodecs_recipe_brings_its_losses_down_and_resumes_exactly(corpus: Path, tmp_path: Path) -> None:
    whole = by_recipe(corpus, tmp_path / "whole")
    assert whole.exit_code == 0, whole.stderr
    assert "--recipe" not in whole.stderr
    assert by_recipe(corpus, tmp_path / "parts", "--stop-at", "11").exit_code == 0
    assert by_recipe(corpus, tmp_path / "parts").exit_code == 0
    steps, again = ([r for r in curve(tmp_path / name) if "spectral" in r] for name in ("whole", "parts"))
    assert steps == again and len(steps) == 24
    losses = {"spectral", "waveform", "adversarial", "features", "commitment", "adversary"}
    assert all(losses <= step.keys() and step["rate"] == 1e-3 for step in steps)
    first, last = (sum(float(step["spectral"]) for step in part) for part in (steps[:6], steps[-6:]))
    assert last < 0.9 * first


def test_an_encodec_is_reported_of_its_recipe(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(ROOT / "tests/fixtures/codec_small.bin")
    assert train(corpus, tmp_path / "out", init=source, steps=1, warmup=1, validate_every=0) == FINISHED
    assert "--recipe encodec is the one of EnCodec" in capsys.readouterr().err


def test_a_folder_of_before_other_losses_could_be_chosen_goes_on(undisturbed: Path) -> None:
    course = json.loads((undisturbed / "training.json").read_text())["config"]
    assert not course.keys() & {"losses", "commitment"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "vinyl"}, "--type is 'vinyl'; it must be one of sinusoidal, encodec, frame"),
        ({"batch": 3, "workers": 2}, "--batch is 3; 2 workers cannot share it evenly"),
        ({"warmup": 9}, "9 steps of warm-up do not fit a training of 6 steps"),
        ({"crop_seconds": 0.1}, "half a second is the least"),
        ({"shallow": 2.0}, "shallow is 2.0; it must be 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_named(
    corpus: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        train(corpus, tmp_path / "out", **options)


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(midi_valle_app(), ["train-codec", str(tmp_path / "nothing")])
    assert result.exit_code == 1
    assert "nothing" in result.stderr and "Traceback" not in result.stderr
