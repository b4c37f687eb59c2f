"""`midi-valle models`, run as a user would."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from jobs.cli.models import models_app
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.weights.checkpoint import describe

CODEC_FILE = Path(__file__).parents[2] / "fixtures" / "codec_small.bin"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(d_model=64, heads=4, layers=2, codebook_size=64)
    torch.save(MidiValle(config).state_dict(), tmp_path / "best-valid-loss.pt")
    return tmp_path / "best-valid-loss.pt"


@pytest.fixture
def cache(model_file: Path, tmp_path: Path) -> Path:
    """A cache folder that already holds the files."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "best-valid-loss.pt").write_bytes(model_file.read_bytes())
    (folder / "compression_32khz_new.bin").write_bytes(CODEC_FILE.read_bytes())
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(models_app, [str(argument) for argument in arguments])


def test_import_makes_a_model_directory_and_shows_the_licence(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("import", "--model-file", model_file, "--codec-file", CODEC_FILE, "--out", out, "--heads", 4)
    assert result.exit_code == 0, result.output
    assert "CC BY-NC-SA 4.0" in result.output and str(out) in result.output
    assert describe(out).model == ModelConfig(d_model=64, heads=4, layers=2, codebook_size=64)


def test_import_without_files_takes_those_in_the_cache(cache: Path, tmp_path: Path) -> None:
    result = run("import", "--cache", cache, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert describe(tmp_path / "out").name == "midi-valle"


def test_download_names_the_files(cache: Path) -> None:
    result = run("download", "--cache", cache)
    assert result.exit_code == 0, result.output
    assert str(cache / "best-valid-loss.pt") in result.output


def test_download_without_a_connection_fails_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renderer.weights.published.RECORD_URL", "https://host.invalid/api/records/1")
    result = run("download", "--cache", tmp_path / "empty")
    assert result.exit_code == 1
    assert "is this machine online" in result.stderr and "--model-file" in result.stderr


def test_list_shows_bundled_and_imported_models_with_size_and_card(cache: Path) -> None:
    assert run("import", "--cache", cache, "--out", cache / "mine").exit_code == 0
    result = run("list", "--cache", cache)
    assert result.exit_code == 0, result.output
    assert "(bundled, " in result.output and "licence: CC BY-NC-SA 4.0" in result.output
    assert re.search(rf"midi-valle \(imported, \d+\.\d MB\): {cache / 'mine'}", result.output)
    assert '"language_model"' in result.output and "non-commercial" in result.output


def test_list_goes_on_after_a_broken_model(cache: Path) -> None:
    (cache / "broken").mkdir()
    (cache / "broken" / "config.json").write_text("{}")
    run("import", "--cache", cache, "--out", cache / "mine")
    result = run("list", "--cache", cache)
    assert result.exit_code == 0
    assert "broken cannot be used" in result.stderr and "(imported, " in result.stdout


@pytest.mark.parametrize("given", ["--model-file", "--codec-file"])
def test_one_file_without_the_other_is_a_usage_error(tmp_path: Path, given: str) -> None:
    result = run("import", given, CODEC_FILE, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "go together" in result.stderr


def test_a_wrong_file_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    page = tmp_path / "page.pt"
    page.write_text("<!DOCTYPE html>")
    result = run("import", "--model-file", page, "--codec-file", CODEC_FILE, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {page} (15 bytes): expected the state dict")
    assert "web page" in result.stderr and "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_help_needs_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from jobs.cli.models import models_app; "
        "print(sorted({'torch', 'ray', 'encodec', 'tqdm'} & set(sys.modules)))"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - start < 5
