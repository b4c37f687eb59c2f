"""The commands as a user types them."""

import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli.from_options import takes
from jobs.option import Option, check_choice
from tests.jobs.support.corpus import make_corpus

ROOT = Path(__file__).parents[3]


def command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = f"from jobs.cli.commands import {name}; {name}()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = command("render_corpus", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert shown.returncode == 0
    for option in ("--out", "--gpus", "--dry-run", "--shard-items", "--top-p"):
        assert option in shown.stdout


def test_no_help_waits_for_what_a_command_needs() -> None:
    script = """
import sys
from typer.testing import CliRunner
from jobs.cli.commands import midi_valle_app, render_app

run = CliRunner().invoke
verbs = "bench status report verify gc prepare train-codec train evaluate".split()
verbs += [f"models {verb}" for verb in "import assemble download list".split()]
verbs += ["manifest build", "cluster check", *(f"prompts {verb}" for verb in "list make show check".split())]
shown = [run(midi_valle_app(), [*verb.split(), "--help"]) for verb in verbs]
assert not any(result.exit_code for result in [*shown, run(render_app, ["--help"])])
print(sorted({"torch", "ray", "pyarrow", "numpy", "tqdm"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.stdout == "[]\n", ran.stderr


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Options of all kinds."""

    wall: Annotated[str, Option("Which.", is_argument=True)]
    colours: Annotated[Sequence[Literal["red", "blue"]], Option("Repeatable.", "Look")] = ("red",)
    coats: Annotated[int, Option("How many.", "Look", least=1)] = 2
    mix: Annotated[tuple[float, float] | None, Option("Shares.")] = None
    gloss: Annotated[bool, Option("Shine.")] = False
    dry: Annotated[bool, Option("Wait.")] = True

    def __post_init__(self) -> None:
        check_choice(self, "colours")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["w"], "w ['red'] 2 None False True"),
        (["w", "--colours", "blue", "--colours", "red", "--coats", "3"], "w ['blue', 'red'] 3 None False True"),
        (["w", "--mix", "0.5", "2", "--gloss", "--no-dry"], "w ['red'] 2 (0.5, 2.0) True False"),
        (["w", "--colours", "pink"], "error: --colours is 'pink'; it must be one of red, blue"),
        (["w", "--coats", "0"], "Invalid value for '--coats'"),
        (["w", "--no-gloss"], "No such option: --no-gloss"),
        ([], "Missing argument"),
    ],
)
def test_a_command_is_made_from_the_dataclass_of_its_options(arguments: list[str], shown: str) -> None:
    @takes(Paint)
    def paint(options: Paint, context: typer.Context) -> int:
        """Paint a wall."""
        typer.echo(" ".join(str(getattr(options, field.name)) for field in fields(options)))
        return int(context.info_name != "paint")

    app = typer.Typer()
    app.command()(paint)
    result = CliRunner().invoke(app, arguments, prog_name="paint")
    assert shown in " ".join(result.output.replace("\n", " ").replace("│", " ").split())
    assert (result.exit_code == 0) == shown.startswith("w ")


def test_a_mistake_is_a_message_and_exit_code_1(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "a"])
    for arguments, expected in (
        ((manifest,), f"error: {manifest}: column 'item_id': is not unique (case is ignored) in 1 row(s)"),
        ((manifest, "--limit", "many"), "Invalid value for '--limit'"),
        ((), "Missing argument"),
    ):
        ran = command("render_corpus", *arguments, "--out", tmp_path / "out")
        assert ran.returncode == 1
        assert expected in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()


def test_prompts_and_a_manifest_are_made_by_midi_valle(tmp_path: Path) -> None:
    make_corpus(tmp_path, ["a", "b"])
    built = command(
        "midi_valle", "manifest", "build", tmp_path / "midi", "--prompt", "x", "--out", tmp_path / "m.parquet"
    )
    assert built.stdout == f"2 rows: {tmp_path}/m.parquet\n" and built.returncode == 0
    assert command("midi_valle", "prompts", "list").stdout.split() == [
        "salamander-close",
        "salamander-hall",
        "splendid-chamber",
        "splendid-close",
    ]


def test_midi_valle_lists_its_verbs() -> None:
    shown = command("midi_valle", "--help")
    assert shown.returncode == 0
    for verb in ("models", "manifest", "prompts", "bench", "status", "verify", "gc"):
        assert f" {verb} " in shown.stdout
