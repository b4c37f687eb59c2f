"""``midi-valle train`` from a pack: all in memory, by the clock, and where little is installed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.errors import JobError
from jobs.training.processes import FINISHED
from jobs.training.timetable import Timetable, TimetableOfMinutes
from jobs.training.train_model import train_model
from jobs.training.train_options import TrainOptions
from renderer.file_hash import file_hash
from renderer.midi.notes import Notes
from renderer.training.history import Record, read_history
from renderer.training.learning_rate import LearningRate
from renderer.training.pack import Pack, PackedClip
from renderer.weights.checkpoint import describe
from tests.jobs.support.train_corpus import make_model

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {
    "d_model": 32,
    "heads": 2,
    "layers": 1,
    "longest": 2.5,
    "shortest": 1.0,
    "steps": 6,
    "batch": 4,
    "micro_batch": 4,
    "rate": 3e-3,
    "warmup": 2,
    "precision": "fp32",
    "validate_every": 3,
    "validation_windows": 4,
    "sample_every": 0,
    "device": "cpu",
    "threads": 1,
}
BLOCKED = ("ray", "boto3", "botocore", "soundfile", "soxr", "mido", "miditoolkit", "encodec", "pyloudnorm")


def clip(index: int) -> PackedClip:
    """Clips of 8 s: two conditions that are learned from and one that is not."""
    random = np.random.default_rng(index)
    onset = np.sort(random.uniform(0, 7.5, 40))
    notes = Notes.of(onset, onset + 0.4, random.integers(30, 100, 40), random.integers(30, 100, 40))
    split = "validation" if index % 8 >= 6 else "train"
    condition = "cellar" if index % 8 == 7 else ("salon", "hall")[index % 2]
    return PackedClip(f"clip-{index}", f"piece-{index}", condition, split, random.integers(0, 16, (3, 400)), notes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    path = tmp_path_factory.mktemp("pack") / "corpus.safetensors"
    Pack.of(map(clip, range(16)), file_hash(model / "codec.safetensors"), 50).save(path)
    return path


def train(pack: Path, model: Path, out: Path, **options: Any) -> int:
    return train_model(TrainOptions(corpus=str(pack), out=str(out), codec=str(model), **{**SMALL, **options}))


def curve(out: Path) -> list[Record]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in read_history(out / "history.jsonl")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pack: Path, model: Path) -> Path:
    out = tmp_path_factory.mktemp("trained") / "training"
    assert train(pack, model, out, drop_prompt=0.3, summary_width=8) == FINISHED
    return out


def test_pieces_of_unseen_conditions_are_judged_apart(trained: Path) -> None:
    judged = [record for record in curve(trained) if "valid_nats" in record]
    assert [record["step"] for record in judged] == [3, 6]
    assert all(record["unseen_nats_2"] != record["valid_nats_2"] for record in judged)


def test_switches_of_the_network_are_in_the_trained_models_configuration(trained: Path) -> None:
    config = describe(trained / "model").model
    assert (config.summary_width, config.absent_prompt) == (8, True)
    assert "summary_width" in json.loads((trained / "model" / "config.json").read_text())["model"]


def test_readers_draw_the_same_windows(trained: Path, pack: Path, model: Path, tmp_path: Path) -> None:
    assert train(pack, model, tmp_path, drop_prompt=0.3, summary_width=8, readers=2) == FINISHED
    assert curve(tmp_path) == curve(trained)


def test_steps_and_rate_fit_into_the_minutes(pack: Path, model: Path, tmp_path: Path) -> None:
    seconds = 6.0
    assert train(pack, model, tmp_path, minutes=seconds / 60, warmup=1000) == FINISHED
    records = read_history(tmp_path / "history.jsonl")
    planned = [record["planned_steps"] for record in records if "planned_steps" in record]
    assert len(planned) == 1
    learned = [record for record in records if "ar" in record]
    assert 0.5 * seconds < learned[-1]["seconds"] < 1.5 * seconds
    assert learned[-1]["rate"] < 0.1 * max(record["rate"] for record in learned)
    assert records[-1]["step"] == learned[-1]["step"]
    assert "valid_nats" in records[-1]
    assert describe(tmp_path / "model").name == "midi-valle-trained"


class Paced:
    rate = LearningRate(1e-3, warmup=500, steps=20_000)


def test_timetable_follows_the_speed_that_it_sees() -> None:
    training = Paced()
    timetable = TimetableOfMinutes(10.0, training)
    noted = [timetable.note(step, 5 + step * 0.5) for step in range(1, 40)]
    assert noted.index(True) == 32  # The first three steps are let go by; 15 s are measured.
    assert timetable.steps == pytest.approx((0.97 * 600 - 5) / 0.5, rel=0.01)
    assert training.rate.warmup == pytest.approx(timetable.steps / 10, rel=0.01)
    assert timetable.validate_every == 120
    timetable.note(200, 5 + 40 * 0.5 + 160 * 1.0)  # It has become slower.
    assert timetable.steps < 800
    assert training.rate.steps == timetable.steps


def test_at_the_end_all_is_due() -> None:
    timetable = Timetable(10, log_every=4, checkpoint_every=100, validate_every=3)
    assert [step for step in range(1, 11) if timetable.is_due(3, step)] == [3, 6, 9, 10]
    assert [step for step in range(1, 11) if timetable.reads(step)] == [3, 4, 6, 8, 9, 10]
    assert not timetable.is_due(0, 10)


def test_pack_of_another_codec_is_refused(pack: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(JobError, match="has codes of another codec"):
        train(pack, other, tmp_path / "out")


def test_minutes_are_for_one_process() -> None:
    with pytest.raises(JobError, match="--minutes is for one process"):
        TrainOptions(corpus="corpus", codec="mini", minutes=1, workers=2)


def test_training_from_a_pack_needs_neither_ray_nor_what_reads_audio_and_midi(
    pack: Path, model: Path, tmp_path: Path
) -> None:
    blocker = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"there is no {{name}} here", name=name)
sys.meta_path.insert(0, Blocker())
from jobs.cli.commands import midi_valle
midi_valle()
"""
    options = {**SMALL, "summary_width": 8, "readers": 1, "steps": 2, "validate_every": 1, "codec": model}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-c", blocker, "train", str(pack), f"--out={tmp_path}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert describe(tmp_path / "model").model.summary_width == 8
