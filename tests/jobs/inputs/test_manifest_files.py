"""Manifests in several files, in folders and on S3: found, rendered, gone on with, and watched for changes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, folder_of
from jobs.inputs.manifest_files import ManifestFiles
from jobs.inputs.pinned_inputs import PinnedManifest
from jobs.storage.s3_storage import S3Storage
from renderer.file_hash import file_hash
from schemas.manifest import Manifest
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.s3_server import S3Server

IDS = [f"item-{i}" for i in range(6)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with a manifest in three files, and other things."""
    table = pq.read_table(make_corpus(tmp_path, IDS))
    folder = tmp_path / "rows"
    folder.mkdir()
    for part in range(3):
        pq.write_table(table.slice(2 * part, 2), folder / f"part-{part}.parquet")
    for other in ("_SUCCESS", ".part-0.parquet.crc", "notes.txt"):
        (folder / other).touch()
    return folder


def ids(files: ManifestFiles) -> list[str]:
    return [row.item_id for row in files.open().rows()]


def test_a_folder_and_a_pattern_are_all_their_files_in_order(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rows.parent)
    for location in ("rows", "rows/", str(rows), rows.as_uri(), "rows/part-*.parquet", "rows/*"):
        files = ManifestFiles.find(location, Inputs())
        assert ids(files) == IDS and folder_of(files.location) == str(rows)
        assert ids(ManifestFiles.find(files.location, Inputs())) == IDS
    assert ids(ManifestFiles.find("rows/part-[12].parquet", Inputs())) == IDS[2:]
    (rows / "part-0.parquet").rename(rows / "odd[1].parquet")
    assert ids(ManifestFiles.find("rows/odd[1].parquet", Inputs())) == IDS[:2]


def test_a_single_file_has_the_hash_that_it_always_had(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    files = ManifestFiles.find(str(manifest), Inputs())
    assert files.location == str(manifest) and files.sha256() == file_hash(manifest)
    assert files.open().rows_sha256(6) == Manifest.open(manifest).rows_sha256(6)


def test_what_is_no_manifest_is_named(rows: Path) -> None:
    for location, reason in (
        (f"{rows}/*.csv", "there are no files that can be a manifest"),
        (f"{rows}/*.txt", r"'notes\.txt' is no manifest"),
        (f"{rows.parent}/*/part-0.parquet", "only the last part may hold"),
        (f"{rows}/none/*.parquet", "there is no such folder"),
    ):
        with pytest.raises(JobError, match=reason):
            ManifestFiles.find(location, Inputs())


def test_a_part_that_is_changed_while_a_run_is_under_way_stops_it(rows: Path) -> None:
    files = ManifestFiles.find(str(rows), Inputs())
    begun_with = files.sha256()
    pinned = PinnedManifest(files.location, begun_with, Inputs())
    assert [row.item_id for row in pinned.slice(1, 3).rows] == IDS[1:4]
    table = pq.read_table(rows / "part-2.parquet")
    pq.write_table(table.slice(0, 1), rows / "part-2.parquet")
    with pytest.raises(JobError, match="was changed while the run was under way"):
        pinned.slice(0, 1)
    with pytest.raises(JobError, match="was changed while the run was under way"):
        PinnedManifest(files.location, begun_with, Inputs())


def test_manifests_on_s3_may_be_of_any_kind_too(s3: S3Server, rows: Path) -> None:
    uri = s3.uri()
    storage = S3Storage.at(uri)
    for path in rows.iterdir():
        storage.write(f"rows/{path.name}", path.read_bytes())
    storage.write("rows/deeper/part-9.parquet", b"")
    storage.write("m.csv", b"item_id,midi,prompt\na,a.mid,p\n")
    for location in (f"{uri}/rows", f"{uri}/rows/", f"{uri}/rows/part-?.parquet"):
        files = ManifestFiles.find(location, Inputs())
        assert ids(files) == IDS and folder_of(files.location) == f"{uri}/rows"
    files = ManifestFiles.find(f"{uri}/m.csv", Inputs())
    assert ids(files) == ["a"] and files.location == f"{uri}/m.csv"
    with pytest.raises(JobError, match="none"):
        ManifestFiles.find(f"{uri}/none.parquet", Inputs())
