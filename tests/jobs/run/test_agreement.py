"""A worker that is not as its driver is refused, in words."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import jobs.run.agreement
from jobs.run.agreement import Agreement, DisagreementError, code_hash
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend

OURS = Agreement({"render-corpus": "1.0", "torch": "2.9.0+cpu", "ray": "2.60.0"}, "code")


def test_builds_of_one_torch_agree_and_so_do_copies_of_one_code() -> None:
    there = Agreement({"render-corpus": "not installed", "torch": "2.9.0+cu130", "ray": "2.60.0"}, "code")
    assert list(OURS.differences(there)) == []


@pytest.mark.parametrize(
    ("there", "difference"),
    [
        (
            replace(OURS, versions={**OURS.versions, "torch": "2.8.0"}),
            "torch is 2.8.0 there and 2.9.0+cpu at the driver; install the driver's version there",
        ),
        (
            replace(OURS, versions={**OURS.versions, "render-corpus": "0.9"}, code="other"),
            "render-corpus is 0.9 there and 1.0 at the driver; install the driver's version there",
        ),
        (
            replace(OURS, code="other"),
            "its copy of render-corpus 1.0 is another than the driver's; install the driver's there",
        ),
    ],
)
def test_what_differs_is_reported(there: Agreement, difference: str) -> None:
    assert list(OURS.differences(there)) == [difference]


def test_another_model_is_refused_and_a_run_of_other_versions_goes_on(tmp_path: Path, out: Path) -> None:
    options = RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(out), device="cpu")
    run = replace(prepare(options, DummyBackend()).run, versions={"torch": "1.0", "python": "2.7"})
    storage = open_storage(str(out))
    RunDirectory(storage).start(run)
    Agreement.of_this_process().check(run, DummyBackend(), storage)
    with pytest.raises(DisagreementError, match=r"its model dummy is another than the run's \(hash 99 there, 0123 in"):
        Agreement.of_this_process().check(run, DummyBackend(model_hash="99"), storage)


def test_a_folder_that_is_not_the_driver_s_is_refused(tmp_path: Path, out: Path) -> None:
    options = RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(out), device="cpu")
    run, storage = prepare(options, DummyBackend()).run, open_storage(str(out))
    with pytest.raises(DisagreementError, match=f"{out} there is not the driver's folder"):
        Agreement.of_this_process().check(run, DummyBackend(), storage)
    RunDirectory(storage).start(replace(run, created="2020-01-01T00:00:00+00:00"))  # Of another time, on its own disk.
    with pytest.raises(DisagreementError, match="let --out be on S3, or on a disk that all nodes have"):
        Agreement.of_this_process().check(run, DummyBackend(), storage)


def test_the_hash_is_of_the_code_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, root = code_hash(), Path(jobs.run.agreement.__file__).parents[2]
    for folder in jobs.run.agreement.CODE:
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("bundled", "__pycache__"))
    monkeypatch.setattr("jobs.run.agreement.__file__", str(tmp_path / "jobs/run/agreement.py"))
    assert code_hash() == ours
    (tmp_path / "jobs/notes.txt").write_text("no code")
    assert code_hash() == ours
    with (tmp_path / "renderer/piece.py").open("a") as file:
        file.write("\n")
    assert code_hash() != ours
