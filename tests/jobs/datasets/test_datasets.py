"""What a training reads is what the run would have written, whoever asks for it and in which order."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from jobs.datasets import DecodedDataset, RenderedDataset, ShuffledBatches, Sound, Sounds, collate
from jobs.errors import JobError
from jobs.run.model_backend import ModelBackend
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import render_run, threads

EXAMPLES = Path(__file__).parents[3] / "examples" / "midi"
IDS = ["joplin-the-entertainer", "bach-bwv-846", "satie-gymnopedie-1"]
SOUND: dict[str, Any] = {"tail": 0.5, "precision": "fp32", "batch_size": 4, "peak": "-3"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For all who decode here: a loader's worker has one, and a sum over more may be rounded otherwise."""
    with threads(1):
        yield


@pytest.fixture(scope="module")
def folder(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds each of three examples, rendered as WAV files of floats and as codes."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "midi").mkdir()
    for item_id in IDS:
        shutil.copy(EXAMPLES / f"{item_id}.mid", folder / "midi")
    table: dict[str, Any] = {
        "item_id": IDS,
        "midi": [f"midi/{item_id}.mid" for item_id in IDS],
        "prompt": ["splendid-close"] * 3,
        "end_s": [2.0] * 3,
        "split": ["train", "test", "train"],
    }
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    mini = ModelBackend("mini", None, None, "fp32", 4)
    for layout in ("files", "codes"):
        out = folder / layout
        render_run(
            folder / "manifest.parquet", out, backend=mini, layout=layout, format="wav-float", cpus_per_actor=1, **SOUND
        )
    return folder


def written(folder: Path) -> dict[str, torch.Tensor]:
    """What the run has written, by item."""
    paths = {row["item_id"]: folder / "files" / row["audio_path"] for row in results(folder / "files")}
    return {name: torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for name, path in paths.items()}


def check(sound: Sound, folder: Path) -> None:
    torch.testing.assert_close(sound.samples, written(folder)[sound.item_id], rtol=0, atol=0)
    row = next(row for row in results(folder / "files") if row["item_id"] == sound.item_id)
    assert sound.sample_rate == row["sample_rate"]
    assert sound.notes.tolist() == [[n["onset"], n["offset"], n["pitch"], n["velocity"]] for n in row["notes"]]


def test_codes_are_decoded_to_the_samples_of_the_run(folder: Path) -> None:
    dataset = DecodedDataset(str(folder / "codes"))
    assert len(dataset) == 3
    for index in (2, 0, 1):
        check(dataset[index], folder)
    of_split = DecodedDataset(str(folder / "codes"), split="train")
    assert [of_split[index].item_id for index in range(len(of_split))] == [IDS[0], IDS[2]]
    with pytest.raises(JobError, match="no item of it is chosen"):
        DecodedDataset(str(folder / "codes"), split="validation")


def test_a_manifest_is_rendered_to_the_samples_of_the_run(folder: Path) -> None:
    dataset = RenderedDataset(str(folder / "manifest.parquet"), copies=2, **SOUND)
    assert len(dataset) == 6
    for sound in dataset.__getitems__([2, 0]):
        check(sound, folder)
    first, other, again = dataset.__getitems__([1, 4, 4])
    check(first, folder)
    assert other.item_id == first.item_id and not torch.equal(other.samples, first.samples)
    assert torch.equal(other.samples, again.samples) and torch.equal(dataset[4].samples, other.samples)
    with pytest.raises(IndexError):
        dataset[6]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_loader_give_the_same(folder: Path, context: str) -> None:
    decoded = DecodedDataset(str(folder / "codes"))
    check(decoded[0], folder)  # What this process has read must not harm a fork of it.
    for dataset in (decoded, RenderedDataset(str(folder / "manifest.parquet"), **SOUND)):
        loader = DataLoader(
            dataset,
            batch_sampler=[[2, 0], [1]],
            num_workers=2 if context == "fork" else 1,
            collate_fn=collate,
            multiprocessing_context=context,
        )
        batches: list[Sounds] = list(loader)
        assert [batch.item_ids for batch in batches] == [[IDS[2], IDS[0]], [IDS[1]]]
        for batch in batches:
            for item_id, samples, length in zip(batch.item_ids, batch.samples, batch.lengths, strict=True):
                assert torch.equal(samples[:length], written(folder)[item_id]) and not samples[length:].any()


def test_a_step_decides_its_batch(folder: Path) -> None:
    whole = list(islice(ShuffledBatches(7, 2, seed=3), 9))
    assert list(islice(ShuffledBatches(7, 2, seed=3, first_step=4), 5)) == whole[4:]
    assert all(len(set(np.ravel(whole[start : start + 3]))) == 6 for start in (0, 3, 6))
    assert whole[:3] != whole[3:6]
    with pytest.raises(ValueError, match="batch_size is 8; it must be 1 to 7"):
        ShuffledBatches(7, 8)


def test_an_item_that_cannot_be_rendered_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    manifest = str(make_corpus(tmp_path, ["a", "unreadable-1", "raises-1"]))
    dataset = RenderedDataset(manifest, backend=DummyBackend())
    with pytest.raises(JobError, match=r"item 'unreadable-1' cannot be rendered: .*MIDI"):
        dataset.__getitems__([0, 1])
    assert dataset[0].item_id == "a"
    assert pickle.loads(pickle.dumps(dataset))[0].item_id == "a"
    with pytest.raises(JobError, match="no row has the split 'train'"):
        RenderedDataset(manifest, split="train", backend=DummyBackend())
    with pytest.raises(JobError, match="copies is 0"):
        RenderedDataset(manifest, copies=0, backend=DummyBackend())


@pytest.mark.slow
def test_the_example_trains_on_codes_and_on_a_manifest_and_goes_on(folder: Path, tmp_path: Path) -> None:
    script = EXAMPLES.parent / "train_on_renderings.py"

    def losses(source: str, checkpoint: str, steps: int) -> list[str]:
        words = [str(folder / source), "--steps", str(steps), "--checkpoint", str(tmp_path / checkpoint)]
        environment = {**os.environ, "PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [sys.executable, script, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    whole = losses("codes", "whole", 12)
    assert len(whole) == 12 and float(whole[-1].split()[-1]) < 0.5 * float(whole[0].split()[-1])
    assert losses("codes", "parts", 5) + losses("codes", "parts", 12) == whole
    assert len(losses("manifest.parquet", "rendered", 2)) == 2
