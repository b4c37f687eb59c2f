"""Model directories are read if they are whole, and refused with what was expected and found if they are not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from renderer.errors import CheckpointError
from renderer.weights.checkpoint import BUNDLED, describe, find_model, load_codec, load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED / "mini", tmp_path / "model"))


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_the_bundled_model_is_described_without_loading_it() -> None:
    mini = find_model("mini")
    assert (mini.sample_rate, mini.frame_rate, mini.pedal, mini.time_grid) == (32_000, 50, "extend", "direct")
    assert mini.prompt_ids == ("salamander-close", "salamander-hall", "splendid-chamber", "splendid-close")
    assert mini.licence == "CC BY 4.0"


def test_a_directory_is_a_model_by_its_path(folder: Path) -> None:
    found = find_model(str(folder))
    assert found.folder == folder and found.fingerprint() == find_model("mini").fingerprint()
    weights = load_file(folder / "model.safetensors")
    assert torch.equal(load_model(found).ar_predict_layer.weight, weights["ar_predict_layer.weight"].float())


@pytest.mark.parametrize(
    "changed", ["config.json", "model.safetensors", "codec.safetensors", "prompts/splendid-chamber.wav"]
)
def test_whatever_decides_the_sound_changes_the_fingerprint(folder: Path, changed: str) -> None:
    before = describe(folder).fingerprint()
    with (folder / changed).open("ab") as file:
        file.write(b"\n")
    assert describe(folder).fingerprint() != before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "codec.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"it has no {name}"):
        describe(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "midi-valle/9"}, "format 'midi-valle/9', expected 'midi-valle/1'"),
        ({"codec": {"type": "mp3"}}, "'mp3' is missing or unknown"),
        ({"model": {"d_model": 256, "width": 3}}, "ModelConfig does not know width"),
        ({"model": {"d_model": 250, "heads": 4}}, "d_model 250 is not a multiple"),
        ({"pedal": "half"}, "pedal is 'half'"),
        ({"time_grid": "coarse"}, "time_grid is 'coarse'"),
        ({"max_segment_seconds": 29.5}, "max_segment_seconds is 29.5"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_fault(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        describe(folder)


def test_a_truncated_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        describe(folder)


@pytest.mark.parametrize("name", ["model", "codec"])
def test_truncated_weights_are_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=f"{name}.safetensors cannot be read as safetensors"):
        load_model(describe(folder)) if name == "model" else load_codec(describe(folder))


def test_weights_of_another_size_are_refused_with_both_shapes(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["ar_predict_layer.weight"] = torch.zeros(1025, 128)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit the config.json(?s:.*)1025, 128(?s:.*)1025, 256"):
        load_model(describe(folder))


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(CheckpointError, match="no model 'maxi': give mini, midi-valle, or the path"):
        find_model("maxi")


def test_published_files_go_with_midi_valle_only(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="go with --model midi-valle"):
        find_model("mini", model_file=tmp_path / "x.pt")
