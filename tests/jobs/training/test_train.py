"""``midi-valle train``: from a corpus to a model that renders, killed and resumed, alone and on Ray Train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.errors import JobError
from jobs.training.processes import FINISHED
from jobs.training.train_model import train_model
from jobs.training.train_options import TrainOptions
from renderer.audio.audio_file import FloatSamples
from renderer.errors import TrainingError
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from renderer.prompt import prompt_from_audio
from renderer.renderer import Renderer
from renderer.training.history import Record, read_history
from renderer.weights.checkpoint import describe, load_codec
from tests.jobs.support.train_corpus import make_model, make_training_corpus

STEPS = 8
SMALL: dict[str, Any] = {
    "d_model": 32,
    "heads": 2,
    "layers": 1,
    "longest": 2.5,
    "shortest": 1.0,
    "steps": STEPS,
    "batch": 4,
    "micro_batch": 2,
    "rate": 3e-3,
    "warmup": 2,
    "precision": "fp32",
    "checkpoint_every": 3,
    "validate_every": 4,
    "validation_windows": 4,
    "sample_every": 0,
    "log_every": 1,
    "device": "cpu",
    "threads": 1,  # Two would add up in another order.
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return make_training_corpus(tmp_path_factory.mktemp("corpus"), model)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, corpus: Path, model: Path) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "training"
    assert train(corpus, model, out, sample_every=STEPS, samples=2) == FINISHED
    return out


def train(corpus: Path, model: Path, out: Path, **options: Any) -> int:
    return train_model(TrainOptions(corpus=str(corpus), out=str(out), **{"codec": str(model), **SMALL, **options}))


def curve(out: Path) -> list[Record]:
    """The figures of training and validation, without the seconds, and without samples' figures."""
    return [{k: v for k, v in r.items() if k != "seconds"} for r in read_history(out / "history.jsonl")]


def test_training_leaves_curves_samples_and_a_model_that_renders(undisturbed: Path, model: Path) -> None:
    records = curve(undisturbed)
    losses = [record["ar"] for record in records if "ar" in record]
    assert len(losses) == STEPS
    assert losses[-1] < losses[0]
    validated = [record for record in records if "valid_nats" in record]
    assert [record["step"] for record in validated] == [4, 8]
    titles = ElementTree.fromstring((undisturbed / "curves.svg").read_text()).itertext()
    assert "Validation, nats a code" in list(titles)
    assert len(list((undisturbed / "samples" / "step-0000008").glob("*.wav"))) == 2
    assert len(list((undisturbed / "samples" / "reference").glob("*.mid"))) == 2
    renderer = Renderer.load(str(undisturbed / "model"), device="cpu")
    assert renderer.limits.longest == 125
    notes = Notes.of([0.1, 0.5], [0.4, 1.0], [60, 64], [80, 70])
    write_midi(notes, undisturbed / "piece.mid")
    codec = load_codec(describe(model))
    prompt = prompt_from_audio("noise", noise(), notes, codec)
    rendering = renderer.render_file(undisturbed / "piece.mid", prompt)
    assert len(rendering.samples) == 64000
    card = json.loads((undisturbed / "model" / "card.json").read_text())
    assert card["training"]["course"]["model"]["d_model"] == 32


def noise() -> FloatSamples:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 96000).astype(np.float32)


def test_stopped_training_goes_on_exactly(undisturbed: Path, corpus: Path, model: Path, tmp_path: Path) -> None:
    assert train(corpus, model, tmp_path, stop_at=5) == FINISHED
    assert train(corpus, model, tmp_path) == FINISHED
    own = [record for record in curve(tmp_path) if "ar" in record]
    assert own == [record for record in curve(undisturbed) if "ar" in record]
    ours, theirs = (load_file(out / "model" / "model.safetensors") for out in (tmp_path, undisturbed))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_killed_training_repeats_the_undisturbed_curve(
    undisturbed: Path, corpus: Path, model: Path, tmp_path: Path
) -> None:
    arguments = [str(corpus), "--out", str(tmp_path), "--codec", str(model)]
    for name, value in SMALL.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    code = "import sys; from jobs.cli.commands import midi_valle; midi_valle()"
    process = subprocess.Popen([sys.executable, "-c", code, "train", *arguments], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 120
    while len(curve(tmp_path)) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(curve(tmp_path)) >= 4
    result = CliRunner().invoke(midi_valle_app(), ["train", *arguments])
    assert result.exit_code == 0, result.output
    assert curve(tmp_path) == curve_without_samples(undisturbed)


def curve_without_samples(out: Path) -> list[Record]:
    return [record for record in curve(out) if "ar" in record or "valid_nats" in record]


def test_another_course_is_refused(undisturbed: Path, corpus: Path, model: Path) -> None:
    with pytest.raises(TrainingError, match=r"rate was 0.003, is 0.002"):
        train(corpus, model, undisturbed, rate=2e-3)


def test_codes_that_the_corpus_lacks_are_made_on_the_way(undisturbed: Path, model: Path, tmp_path: Path) -> None:
    other = make_training_corpus(tmp_path / "corpus", model, codec="another")
    assert train(other, model, tmp_path / "out") == FINISHED
    assert curve(tmp_path / "out") == curve_without_samples(undisturbed)
    assert len(list((tmp_path / "out" / "codes").rglob("*.npy"))) == 8


def test_fine_tuning_begins_with_the_models_weights(corpus: Path, model: Path, tmp_path: Path) -> None:
    sizes = {"d_model": None, "heads": None, "layers": None}
    tuned = {"codec": None, "init": str(model), "stages": "ar", "steps": 1, "warmup": 1, "rate": 1e-9, **sizes}
    assert train(corpus, model, tmp_path, **tuned) == FINISHED
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "model"))
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)


def test_two_workers_of_ray_train_repeat_the_curve_of_one(
    undisturbed: Path, corpus: Path, model: Path, tmp_path: Path
) -> None:
    assert train(corpus, model, tmp_path, workers=2) == FINISHED
    for ours, theirs in zip(curve(tmp_path), curve_without_samples(undisturbed), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)
    assert describe(tmp_path / "model").name == "midi-valle-trained"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 1, "workers": 2}, "each of 2 workers needs a window"),
        ({"init": "mini", "d_model": 32}, "--d-model does not go with --init"),
        ({"codec": None, "init": None}, "give --codec"),
        ({"size": "huge"}, "--size is 'huge'"),
        ({"steps": 0}, "--steps is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        TrainOptions(corpus="corpus", **{"codec": "mini", **options})
