"""What a driver sends to the nodes of a cluster."""

from pathlib import Path

import pytest

import jobs.run.shipment
from jobs.errors import JobError
from jobs.run.agreement import code_hash
from jobs.run.model_backend import ModelBackend, local_directory
from jobs.run.options import RenderOptions
from jobs.run.shipment import MODEL_FOLDER, ROOT, as_shipped, shipment

MINI = ROOT / "renderer/weights/bundled/mini"


def test_the_package_is_sent_as_it_is_here_and_the_model_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with shipment(MINI) as environment:
        folder = Path(environment["working_dir"])
        assert (folder / MODEL_FOLDER / "model.safetensors").is_file()
        monkeypatch.setattr("jobs.run.agreement.__file__", str(folder / "jobs/run/agreement.py"))
        there = code_hash()
    monkeypatch.undo()
    assert there == code_hash() and not folder.exists()


def test_a_model_that_came_with_the_package_stands_for_one_of_a_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert as_shipped("/home/me/model") == "/home/me/model"
    (tmp_path / MODEL_FOLDER).symlink_to(MINI)
    monkeypatch.setattr(jobs.run.shipment, "ROOT", tmp_path)
    assert as_shipped("/home/me/model") == str(tmp_path / MODEL_FOLDER)
    assert as_shipped("mini") == "mini"
    absent = ModelBackend.from_options(RenderOptions(manifest="", model=str(MINI)))
    monkeypatch.setattr("jobs.run.shipment.MODEL_FOLDER", "none")
    expected = absent.describe().model_hash
    monkeypatch.setattr("jobs.run.shipment.MODEL_FOLDER", MODEL_FOLDER)
    assert ModelBackend("/not/there", None, None, "fp32", None).describe().model_hash == expected


def test_a_model_is_local_if_it_is_a_directory_and_no_name() -> None:
    assert local_directory("mini") is None and local_directory("s3://bucket/model") is None
    assert local_directory(str(MINI)) == MINI


def test_a_model_that_is_too_large_is_refused_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.run.shipment, "MOST_BYTES", 1_000_000)
    with pytest.raises(JobError, match=r"--ship: .*mini has 0\.0 GB.*put it on S3 \(--model s3://"), shipment(MINI):
        pass


def test_nothing_is_sent_on_one_machine() -> None:
    with pytest.raises(JobError, match="--ship goes with --ray-address"):
        RenderOptions(manifest="m.parquet", ship=True)
