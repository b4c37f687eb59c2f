"""What is needed for files, storage and clusters is imported when it is used: a machine with torch can do the rest.

A machine with a GPU that is lent for an hour has torch, numpy, pyarrow and typer, and little else.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

ABSENT = (
    "ray",
    "boto3",
    "botocore",
    "soundfile",
    "soxr",
    "mido",
    "miditoolkit",
    "encodec",
    "torchaudio",
    "pyloudnorm",
    "librosa",
    "matplotlib",
)

BLOCK = f"""
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())
"""

RENDER = """
import json
import numpy as np
import torch
from renderer import Renderer, RenderRequest
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.prompt import Prompt

renderer = Renderer.load("mini", device="cpu", batch_size=2)
random = np.random.default_rng(0)
codes = torch.from_numpy(random.integers(0, renderer.codec.codebook_size, (150, renderer.codec.codebooks)))
prompt = Prompt("made up", codes, Notes.of(np.array([0.5]), np.array([1.0]), np.array([60]), np.array([70])))
notes = Notes.of(np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([60, 64]), np.array([70, 80]))
(rendering,) = renderer.render([RenderRequest("one", Performance(notes, NoteReport()), prompt)], tail=0.1)
print(json.dumps([len(rendering.samples), float(np.abs(rendering.samples).max())]))
"""

COMMAND = """
from jobs.cli.commands import midi_valle

sys.argv = ["midi-valle", "bench", "--device", "cpu", "--seconds", "0.1", "--batch", "1", "--no-published"]
midi_valle()
"""

IMPORT = """
import jobs.training.train_codec
import jobs.training.train_model
import renderer.codecs.encodec_codec
import tests.renderer.decoding.test_cuda
"""


def on_a_bare_machine(script: str) -> str:
    """What it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", BLOCK + script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_bare_machine_renders_notes_and_prompts_in_memory_and_could_train() -> None:
    samples, peak = json.loads(on_a_bare_machine(RENDER + IMPORT))
    assert samples == 16_000 and 0 < peak < 10


def test_a_bare_machine_measures_speed() -> None:
    measured = json.loads(on_a_bare_machine(COMMAND).splitlines()[-1])
    assert measured["batches"][0]["audio_seconds_per_second"] > 0
