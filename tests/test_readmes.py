"""What the READMEs say to type: every command is run, or, where it needs what a test has not, at least understood."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer

from jobs.cli.commands import midi_valle_app
from jobs.cli.render import render_app
from renderer.midi.midi_file import read_midi, write_midi
from renderer.midi.notes import Excerpt

ROOT = Path(__file__).parents[1]
READMES = sorted(path for path in ROOT.rglob("README.md") if not any(part.startswith(".") for part in path.parts))
NEEDS = re.compile(r"#.*\b(needs|takes)\b")
"""A comment that says what a command needs, behind it or in the first line of its block."""


def blocks(path: Path, language: str) -> list[str]:
    """The code of a README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), flags=re.M | re.S)


def commands(path: Path) -> Iterator[tuple[str, bool]]:
    """Each command of a README, and whether a test has all that it needs."""
    for block in blocks(path, "sh"):
        needs_more = False
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                needs_more = bool(NEEDS.match(line))
            elif line.strip():
                yield line.partition("  #")[0].strip(), not needs_more and not NEEDS.search(line)


def words_of(command: str) -> list[str]:
    """The words of a command of ours; of a line that installs first, those of its last part."""
    return shlex.split(command.rpartition("&& ")[2].replace(".venv/bin/", ""))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the READMEs assume it, with two seconds of two of the examples, and of their MIDI files."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for path in (folder / "examples" / "midi").glob("*.mid"):
        write_midi(read_midi(path, "ignore").excerpt(Excerpt(0.0, 2.0)).notes, path)
    table = pq.read_table(ROOT / "examples" / "manifest.parquet").slice(0, 2)
    table = table.drop_columns(["start_s", "end_s"])
    pq.write_table(table, folder / "examples" / "manifest.parquet")
    midi = [f"examples/{name}" for name in table["midi"].to_pylist()]
    pq.write_table(table.set_column(table.schema.get_field_index("midi"), "midi", [midi]), folder / "manifest.parquet")
    return folder


def ours(path: Path) -> list[tuple[str, bool]]:
    """The commands that this project is to understand."""
    return [(line, can) for line, can in commands(path) if words_of(line)[0] in {"render-corpus", "midi-valle"}]


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_ours_is_understood(path: Path) -> None:
    for line, _ in ours(path):
        name, *words = words_of(line)
        command = typer.main.get_command(render_app if name == "render-corpus" else midi_valle_app())
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # Raises for an option that is not there.


def run_commands(path: Path, clone: Path) -> Iterator[list[str]]:
    """Run a README's commands one after the other, in one folder; yields the words of each that is done."""
    run = "import sys; from jobs.cli import commands; sys.argv[0] = sys.argv.pop(1); getattr(commands, sys.argv[0])()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(clone), "RAY_USAGE_STATS_ENABLED": "0"}
    for line in (line for line, can in ours(path) if can):
        name, *words = words_of(line)
        ran = subprocess.run(
            [sys.executable, "-c", run, name.replace("-", "_"), *words],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stderr}"
        yield words


def test_the_readme_s_commands_do_what_they_say(clone: Path) -> None:
    done = 0
    for words in run_commands(ROOT / "README.md", clone):
        done += 1
        if "examples/manifest.parquet" in words:
            shutil.rmtree(clone / "out")
    assert done >= 6


@pytest.mark.slow
@pytest.mark.parametrize("room", ["exports", "datasets"])
def test_the_commands_of_a_room_do_what_they_say(clone: Path, room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(clone / "out", ignore_errors=True)
    readme = ROOT / "jobs" / room / "README.md"
    assert len(list(run_commands(readme, clone))) >= 4
    monkeypatch.chdir(clone)
    for code in blocks(readme, "python"):
        exec(code, {"__name__": "__main__"})


def test_the_readme_s_python_runs(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    (code,) = blocks(ROOT / "README.md", "python")
    exec(code, {})
    assert (clone / "gymnopedie.flac").stat().st_size > 10_000
