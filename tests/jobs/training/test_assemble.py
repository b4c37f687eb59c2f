"""``midi-valle models assemble``: a language model, a codec whose decoder went on learning, and prompts."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from renderer import Renderer
from renderer.codecs.sinusoidal_codec import SinusoidalCodec, SinusoidalCodecConfig
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.rendering import RenderRequest
from renderer.training.codec_writing import write_codec
from renderer.training.model_writing import ModelMetadata, write_model
from renderer.weights.checkpoint import find_codec
from tests.jobs.support.train_corpus import MODEL, make_model, make_training_corpus


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return make_training_corpus(tmp_path_factory.mktemp("corpus"), model)


def codec_with(model: Path, folder: Path, name: str) -> Path:
    """The model's codec as a directory of its own, with one of its tensors changed."""
    folder.mkdir()
    config = json.loads((model / "config.json").read_text())
    kept = {key: config[key] for key in ("name", "sample_rate", "frame_rate", "codec")}
    (folder / "config.json").write_text(json.dumps({"format": "midi-valle-codec/1", **kept}))
    weights = load_file(model / "codec.safetensors")
    weights[name] = weights[name] + 1
    save_file(weights, folder / "codec.safetensors")
    return folder


def assemble(model: Path, codec: Path, corpus: Path, out: Path, prompt: str = "salon=clip-0") -> tuple[int, str]:
    options = {"--out": out, "--model": model, "--codec": codec, "--corpus": corpus, "--prompt": prompt}
    arguments = [str(text) for pair in options.items() for text in pair]
    result = CliRunner().invoke(midi_valle_app(), ["models", "assemble", *arguments, "--name", "whole"])
    return result.exit_code, result.output


def test_a_model_with_another_decoder_and_prompts_of_a_corpus_renders(
    model: Path, corpus: Path, tmp_path: Path
) -> None:
    codec = codec_with(model, tmp_path / "codec", "decoder.input.bias")
    code, output = assemble(model, codec, corpus, tmp_path / "whole")
    assert code == 0, output
    renderer = Renderer.load(str(tmp_path / "whole"), device="cpu")
    assert renderer.description.name == "whole" and renderer.description.prompt_ids == ("salon",)
    assert "verdicts" not in json.loads((tmp_path / "whole/card.json").read_text())
    ours, theirs = (load_file(folder / "codec.safetensors") for folder in (tmp_path / "whole", codec))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    prompt = renderer.prompt("salon")
    assert len(prompt.codes) == 150 and len(prompt.notes) > 3
    notes = Notes.of([0.1, 0.5], [0.4, 1.0], [60, 64], [80, 70])
    assert next(renderer.render([RenderRequest("a", Performance(notes, NoteReport()), prompt)])).samples.any()


def test_the_card_says_what_verdicts_judge_where_the_codec_is_told_the_notes(
    model: Path, corpus: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = SinusoidalCodecConfig(codebooks=MODEL.codebooks, codebook_size=MODEL.codebook_size)
    facts = ModelMetadata("listening", MODEL, 3.0, "extend", "direct", {})
    write_codec(tmp_path / "codec", "listening", config, SinusoidalCodec(config).state_dict(), {})
    listening, codec = tmp_path / "listening", find_codec(str(tmp_path / "codec"))
    write_model(listening, load_file(model / "model.safetensors"), facts, codec)
    code, output = assemble(listening, listening, corpus, tmp_path / "whole")
    assert code == 0, output
    assert "judge its decoder" in json.loads((tmp_path / "whole/card.json").read_text())["verdicts"]


def test_a_codec_of_other_codes_is_refused(model: Path, corpus: Path, tmp_path: Path) -> None:
    codec = codec_with(model, tmp_path / "codec", "quantizer.codebooks")
    code, output = assemble(model, codec, corpus, tmp_path / "whole")
    assert code == 1 and "quantizer.codebooks differs" in output and "--keep-codes" in output
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("prompt", ["salon=absent", "clip-0", "=clip-0"])
def test_a_prompt_that_the_corpus_lacks_is_refused(model: Path, corpus: Path, tmp_path: Path, prompt: str) -> None:
    shutil.copytree(model, tmp_path / "model")
    code, output = assemble(tmp_path / "model", tmp_path / "model", corpus, tmp_path / "whole", prompt)
    assert code == 1 and "give ID=ITEM" in output
