import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import JobError, StorageError
from jobs.storage import LocalStorage, local_path, open_storage
from tests.jobs.small_disk import SmallDisk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


def test_what_is_written_is_read_back_listed_and_deleted(storage: LocalStorage) -> None:
    storage.write("a/b.txt", b"one")
    storage.write("a/b.txt", b"two")
    storage.write("c.txt", b"")
    assert storage.read("a/b.txt") == b"two"
    assert sorted(storage.keys()) == ["a/b.txt", "c.txt"]
    assert list(storage.keys("a")) == ["a/b.txt"]
    assert storage.exists("a/b.txt") and not storage.exists("a")
    storage.delete("a/b.txt")
    storage.delete("a/b.txt")
    assert list(storage.keys()) == ["c.txt"]


def test_nothing_is_listed_where_nothing_is(storage: LocalStorage) -> None:
    assert list(storage.keys()) == [] and list(storage.keys("a/b")) == []


def test_of_many_creators_exactly_one_wins_and_its_content_stays(storage: LocalStorage) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.create("marker", bytes([i])), range(16)))
    assert won.count(True) == 1
    assert storage.read("marker") == bytes([won.index(True)])
    assert list(storage.root.iterdir()) == [storage.root / "marker"]


def test_a_key_cannot_lead_out_of_the_storage(storage: LocalStorage) -> None:
    for key in ("../x", "a/../../x", "/etc/x"):
        with pytest.raises(ValueError, match="leads out"):
            storage.write(key, b"")


def test_a_full_disk_is_named_and_leaves_no_half_files(small_disk: SmallDisk) -> None:
    storage = LocalStorage(small_disk.folder)
    storage.write("kept", b"x" * 100_000)
    with pytest.raises(StorageError, match=r"cannot write .*small/kept: no space left on device \(make space\)"):
        storage.write("kept", b"y" * 200_000)
    assert storage.read("kept") == b"x" * 100_000
    assert [path.name for path in small_disk.folder.iterdir()] == ["kept"]


def test_a_file_size_limit_is_a_refusal_too(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from jobs.storage import LocalStorage; from jobs.errors import StorageError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "try: LocalStorage(Path(sys.argv[1])).write('a', bytes(5000))\n"
        "except StorageError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "file too large" in ran.stdout
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/a: not a directory"):
        LocalStorage(tmp_path / "file").write("a", b"")
    with pytest.raises(JobError, match="is a file; the output must be a folder"):
        open_storage(str(tmp_path / "file"))


def test_a_uri_is_refused_where_only_paths_can_be_used() -> None:
    for location in ("s3://bucket/x", "https://host/x"):
        with pytest.raises(JobError, match="not URIs"):
            local_path(location)


def test_a_relative_path_lies_in_the_folder_and_an_absolute_one_stays() -> None:
    assert local_path("a/b.mid", Path("/m")) == Path("/m/a/b.mid")
    assert local_path("/a/b.mid", Path("/m")) == Path("/a/b.mid")
