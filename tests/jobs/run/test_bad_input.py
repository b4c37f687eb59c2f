"""Each mistake is a message that names the thing, and nothing is written before it is found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from renderer.errors import CheckpointError
from schemas.checks import TableError
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.small_disk import SmallDisk


def refused(manifest: Path, out: Path, **options: Any) -> str:
    with pytest.raises((JobError, TableError)) as error:
        render_corpus(RenderOptions(manifest=str(manifest), out=str(out), **options), DummyBackend())
    assert not out.exists()
    return str(error.value)


def bank(folder: Path, *ids: str) -> str:
    path = folder / "bank.parquet"
    pq.write_table(pa.table({"prompt_id": ids, "audio": ["x.wav"] * len(ids), "midi": ["x.mid"] * len(ids)}), path)
    return str(path)


def test_an_unknown_prompt_is_named_with_its_row_and_those_there_are(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"], prompt=["plain", "grand"])
    message = refused(manifest, out)
    assert "column 'prompt': names no known prompt (known: plain, soft) in 1 row(s): row 1 'grand'" in message


def test_prompts_beyond_the_limit_are_not_looked_at(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"], prompt=["plain", "grand"])
    assert "(known:" in refused(manifest, out, limit=2)
    assert (
        render_corpus(RenderOptions(manifest=str(manifest), out=str(out), limit=1, dry_run=True), DummyBackend()) == 0
    )


def test_a_bank_whose_files_are_missing_is_refused(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    message = refused(manifest, out, prompts=bank(tmp_path, "mine"))
    assert f"{tmp_path}/bank.parquet: 2 of 2 files do not exist: 'x.mid', 'x.wav'" in message


def test_a_bank_prompt_with_the_name_of_a_built_in_one_is_refused(tmp_path: Path, out: Path) -> None:
    message = refused(make_corpus(tmp_path, ["a"]), out, prompts=bank(tmp_path, "soft", "mine"))
    assert "'soft' also come with dummy" in message and "mine" not in message


def test_a_manifest_none_of_whose_midi_files_exist_is_refused(tmp_path: Path, out: Path) -> None:
    message = refused(make_corpus(tmp_path, [f"missing-{i}" for i in range(5)]), out)
    assert "column 'midi': 5 of 5 files do not exist: 'midi/missing-0.mid', 'midi/missing-1.mid'" in message
    assert str(tmp_path) in message


def test_a_uri_that_is_not_on_s3_is_refused(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"], midi=["https://host/a.mid"])
    assert "https://host/a.mid: neither a file nor on S3" in refused(manifest, out)
    with pytest.raises(JobError, match=r"https://host/m\.parquet: only local files and s3://"):
        render_corpus(RenderOptions(manifest="https://host/m.parquet"), DummyBackend())
    make_corpus(tmp_path, ["a"])
    with pytest.raises(JobError, match="gs://bucket/out: a run's output is a local folder, or lies on s3://"):
        render_corpus(RenderOptions(manifest=str(manifest), out="gs://bucket/out"), DummyBackend())


def test_a_manifest_that_names_only_files_outside_its_folder_is_refused(tmp_path: Path, out: Path) -> None:
    make_corpus(tmp_path / "elsewhere", ["a"])
    for location in (f"{tmp_path}/elsewhere/midi/a.mid", "../elsewhere/midi/a.mid"):
        manifest = make_corpus(tmp_path / "corpus", ["a"], midi=[location])
        message = refused(manifest, out)
        assert "column 'midi': 1 of 1 files may not be read" in message and "--allow-root" in message
    assert "--allow-root nowhere: there is no such folder" in refused(manifest, out, allow_root=["nowhere"])
    allowed = RenderOptions(
        manifest=str(manifest), out=str(out), allow_root=[str(tmp_path / "elsewhere")], dry_run=True
    )
    assert render_corpus(allowed, DummyBackend()) == 0


def test_a_bank_may_not_lead_outside_either(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path / "corpus", ["a"])
    (tmp_path / "bank").mkdir()
    (tmp_path / "x.wav").touch()
    (tmp_path / "bank" / "x.mid").touch()
    path = tmp_path / "bank" / "bank.parquet"
    pq.write_table(pa.table({"prompt_id": ["mine"], "audio": ["../x.wav"], "midi": ["x.mid"]}), path)
    assert f"{path}: 1 of 2 files may not be read: '../x.wav'" in refused(manifest, out, prompts=str(path))


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(JobError, match=r"holds 'thesis.tex' but no run.json"):
        render_corpus(RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(out)), DummyBackend())
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_another_run_in_its_place_is_refused_and_every_difference_named(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, [f"item-{i}" for i in range(12)])
    first = RenderOptions(manifest=str(manifest), out=str(out), limit=2, actors=1, shard_items=1)
    RunDirectory(LocalStorage(out)).start(prepare(first, DummyBackend()).run)
    with pytest.raises(JobError) as error:
        render_corpus(replace(first, limit=3, tail=2.0, shard_items=2), DummyBackend(model_hash="4567"))
    for line in (
        f"{out} holds another run, begun 20",
        "model_hash: '0123' in the run, '4567' now",
        "limit: 2 in the run, 3 now",
        "tail: 1.0 in the run, 2.0 now",
        "shard_items: 1 in the run, 2 now",
    ):
        assert line in str(error.value)
    make_corpus(tmp_path, [f"item-{i}" for i in range(13)])
    with pytest.raises(JobError, match=r"manifest_sha256: .*\n.*manifest_rows: 12 in the run, 13 now"):
        render_corpus(first, DummyBackend())
    assert list(LocalStorage(out).keys()) == ["run.json"]


def test_a_damaged_run_document_or_marker_is_named(tmp_path: Path, out: Path) -> None:
    options = RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(out), actors=1)
    RunDirectory(LocalStorage(out)).start(prepare(options, DummyBackend()).run)
    LocalStorage(out).write("_state/done/00000.json", b"{}")
    with pytest.raises(JobError, match=r"_state/done/00000\.json: not a commit marker"):
        render_corpus(options, DummyBackend())
    (out / "run.json").write_text("{")
    with pytest.raises(JobError, match=r"run\.json cannot be read"):
        render_corpus(options, DummyBackend())


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, out: Path) -> None:
    out.write_text("precious")
    with pytest.raises(JobError, match="is a file"):
        render_corpus(RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(out)), DummyBackend())
    assert out.read_text() == "precious"


def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="not a directory"):
        render_corpus(
            RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(tmp_path / "file" / "out")),
            DummyBackend(),
        )


def test_an_output_without_permission_is_refused(tmp_path: Path, small_disk: SmallDisk) -> None:
    small_disk.make_read_only()
    options = RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), out=str(small_disk.folder / "out"), actors=1)
    with pytest.raises(JobError, match=r"cannot create .*/small/out/_state/driver.json: read-only file system"):
        render_corpus(options, DummyBackend())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "mp4"}, "audio format 'mp4' is unknown; use one of flac"),
        ({"precision": "fp8"}, "'fp8' is unknown; use one of auto, fp32, bf16"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"tail": float("nan")}, "--tail is nan"),
        ({"pedal": "half"}, "--pedal is 'half'; it must be one of model, ignore, extend"),
        ({"pedal_channels": "one"}, "--pedal-channels is 'one'; it must be one of any, each"),
        ({"device": "tpu"}, "--device is 'tpu'"),
        ({"limit": 0}, "--limit is 0; it must be 1 or more"),
        ({"shard_items": 0}, "--shard-items is 0"),
        ({"seed": 2**63}, "--seed"),
        ({"gpus": 2, "device": "cpu"}, "--gpus 2 does not go with --device cpu"),
    ],
)
def test_options_that_make_no_sense_are_named(
    tmp_path: Path, out: Path, options: dict[str, Any], expected: str
) -> None:
    assert expected in refused(make_corpus(tmp_path, ["a"]), out, **options)


def test_a_model_that_does_not_exist_is_named(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    with pytest.raises(CheckpointError, match="no model 'maxi'"):
        render_corpus(RenderOptions(manifest=str(manifest), out=str(out), model="maxi"))
    assert not out.exists()


def test_a_few_missing_files_are_only_a_warning(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = make_corpus(tmp_path, ["a", "missing-\x1b[2J"], item_id=["a", "b"])
    assert render_corpus(RenderOptions(manifest=str(manifest), out=str(out), dry_run=True), DummyBackend()) == 0
    output = capsys.readouterr()
    assert r"column 'midi': 1 of 2 files do not exist: 'midi/missing-\x1b[2J.mid'" in output.err
    assert "\x1b" not in output.err + output.out
