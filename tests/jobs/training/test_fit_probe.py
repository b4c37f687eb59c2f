"""``midi-valle models probe``: what verdicts judge a language model's codes by."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.corpora.corpus import Corpus
from renderer import Renderer
from renderer.weights.probe_file import PROBE_FILE
from tests.jobs.support.train_corpus import make_model, make_training_corpus


def told(*arguments: object) -> str:
    result = CliRunner().invoke(midi_valle_app(), ["models", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_probe_is_fitted_to_a_corpus_and_goes_into_what_is_assembled(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    place = make_training_corpus(tmp_path / "corpus", model)
    corpus = Corpus.open(str(place))
    seconds = sum(clip.samples for clip in corpus.clips if clip.split == "train") / corpus.sample_rate
    assert f"Fitted to {seconds / 60:,.0f} minutes of audio" in told("probe", "--model", model, "--corpus", place)
    probe = Renderer.load(str(model), device="cpu").probe
    assert probe is not None and np.isfinite(probe.weight).all() and np.ptp(probe.weight) > 0
    whole = tmp_path / "whole"
    asked = ["--model", model, "--codec", model, "--corpus", place, "--prompt", "salon=clip-0", "--name", "whole"]
    told("assemble", "--out", whole, *asked)
    assert (whole / PROBE_FILE).read_bytes() == (model / PROBE_FILE).read_bytes()
    assert "verdicts" not in json.loads((whole / "card.json").read_text())  # This codec is not told the notes.


def test_a_corpus_with_another_codecs_codes_is_encoded_on_the_way(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    place = make_training_corpus(tmp_path / "corpus", model, codec="another")
    before = sorted(path.name for path in model.iterdir())
    told("probe", "--model", model, "--corpus", place, "--minutes", 1)
    assert sorted(path.name for path in model.iterdir()) == sorted([*before, PROBE_FILE])
    assert Renderer.load(str(model), device="cpu").probe is not None


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(midi_valle_app(), ["models", "probe", "--model", "/absent", "--corpus", str(tmp_path)])
    assert result.exit_code == 1 and "no model '/absent'" in result.output
