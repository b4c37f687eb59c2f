"""``--config`` and ``--preset``: what they set, and which of them wins."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli.from_options import takes
from jobs.run.options import RenderOptions
from jobs.run.presets import PRESETS


def render(*arguments: object) -> tuple[int, str, RenderOptions | None]:
    """Exit code, output and options of ``render-corpus`` without the rendering."""
    given: list[RenderOptions] = []

    @takes(RenderOptions, PRESETS)
    def command(options: RenderOptions) -> int:
        given.append(options)
        return 0

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, " ".join(result.output.replace("│", " ").split()), given[0] if given else None


def options(*arguments: object) -> RenderOptions:
    code, output, found = render(*arguments)
    assert found is not None, output
    assert code == 0
    return found


def test_what_is_typed_wins_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'manifest = "m.csv"\ntail = 2\nsample-rate = 22050\nallow_root = ["/"]\nsave_codes = true\nseed = 3\n'
    )
    found = options("--preset", "transcription", "--seed", "4", "--config", file)
    assert (found.manifest, found.seed, found.tail, found.sample_rate) == ("m.csv", 4, 2.0, 22050)
    assert (found.attempts, list(found.allow_root), found.save_codes) == (3, ["/"], True)
    assert options("--config", file, "--preset", "transcription", "--seed", "4") == found


def test_a_file_may_name_a_preset_and_the_command_line_another(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('preset = "listening"\ntail = 2.5\n')
    found = options("m.csv", "--config", file)
    assert (found.loudness, found.tail) == ("-23", 2.5)
    found = options("m.csv", "--config", file, "--preset", "draft")
    assert (found.loudness, found.tail, found.limit) == ("off", 2.5, 20)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_set_of_options_that_make_sense(name: str) -> None:
    found = options("m.csv", "--preset", name)
    assert {key: getattr(found, key) for key in PRESETS[name]} == PRESETS[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tial = 2", "run.toml: there is no option --tial"),
        ("config = 'b.toml'", "run.toml: there is no option --config"),
        ("[sound]\ntail = 2", "run.toml: there is no option --sound"),
        ("tail = {a = 2}", "run.toml: tail is a table; give --tail a value"),
        ("tail = ", "run.toml: Invalid value"),
        ("tail = 'long'", "Invalid value for '--tail'"),
        ("layout = 'zip'", "error: --layout is 'zip'; it must be one of files, webdataset, parquet"),
        ("preset = 'loud'", "'loud' is none of transcription, listening, draft"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, text: str | None, expected: str) -> None:
    file = tmp_path / "run.toml"
    if text is not None:
        file.write_text(text)
    code, output, found = render("m.csv", "--config", file)
    assert code and found is None
    assert expected in output.replace(f"{tmp_path}/", "")


def test_options_as_toml_are_the_same_options_but_for_what_deletes(tmp_path: Path) -> None:
    typed = ("é.csv", "--seed", "-1", "--allow-root", "/", "--model-file", "a b", "--tail", ".1", "--save-codes")
    given = options(*typed, "--overwrite", "--yes")
    file = tmp_path / "options.toml"
    file.write_text(given.to_toml(), "utf-8")
    assert not {"overwrite", "yes", "retry_failed", "extend", "dry_run"} & tomllib.loads(given.to_toml()).keys()
    assert options("--config", file) == options(*typed)


def test_a_shell_completes_options_and_their_values() -> None:
    def completed(*words: str) -> list[str]:
        place = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        env = os.environ | place | {"_RENDER_CORPUS_COMPLETE": "complete_bash"}
        script = "import sys; sys.argv[0] = 'render-corpus'; from jobs.cli.commands import render_corpus as c; c()"
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False)
        return ran.stdout.split()

    assert completed("render-corpus", "--layout", "web") == ["webdataset"]
    assert completed("render-corpus", "--preset", "l") == ["listening"]
    assert "--storage-patience" in completed("render-corpus", "--sto")
