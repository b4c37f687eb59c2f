"""The commands as a user types them."""

import subprocess
import sys
import time
from pathlib import Path

from tests.jobs.support.corpus import make_corpus

ROOT = Path(__file__).parents[3]


def command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = f"from jobs.cli.commands import {name}; {name}()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_help_is_quick() -> None:
    began = time.monotonic()
    shown = command("render_corpus", "--help")
    assert time.monotonic() - began < 1.0
    assert shown.returncode == 0
    for option in ("--out", "--gpus", "--dry-run", "--shard-items", "--top-p"):
        assert option in shown.stdout


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
