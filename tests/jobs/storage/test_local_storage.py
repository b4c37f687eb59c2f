"""What only a local folder can do wrong."""

import errno
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import JobError, StorageError
from jobs.storage import open_storage
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.small_disk import SmallDisk

ROOT = Path(__file__).parents[3]


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
        "from jobs.storage.local_storage import LocalStorage; from jobs.errors import StorageError\n"
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


def refusing(number: int) -> Any:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("call", ["link", "fsync"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_without_hard_links_or_syncing_are_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    monkeypatch.setattr(os, call, refusing(number))
    storage = LocalStorage(tmp_path)
    storage.write("a", b"1")
    assert storage.create("sub/marker", b"first") and not storage.create("sub/marker", b"second")
    assert storage.read("a") == b"1" and storage.read("sub/marker") == b"first"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "marker", "sub"]


def test_without_hard_links_one_of_many_writers_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EOPNOTSUPP))
    storage = LocalStorage(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for place in range(50):
            created = list(pool.map(lambda writer, key=f"{place}": storage.create(key, b"%d" % writer), range(8)))
            assert sum(created) == 1
            assert storage.read(f"{place}") == b"%d" % created.index(True)
    assert len(list(tmp_path.iterdir())) == 50


@pytest.mark.parametrize("call", ["link", "fsync"])
def test_a_disk_that_fails_is_not_taken_for_one_that_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(os, call, refusing(errno.EIO))
    with pytest.raises(StorageError, match="input/output error"):
        LocalStorage(tmp_path).create("a", b"1")
    assert not list(tmp_path.iterdir())


def test_a_file_uri_is_a_folder(tmp_path: Path) -> None:
    open_storage((tmp_path / "a b é").as_uri()).write("x", b"1")
    assert (tmp_path / "a b é" / "x").read_bytes() == b"1"
    for location in ("file://server/share", "file:relative://x", "http://host/x"):
        with pytest.raises(JobError, match=r"names no file of this machine|a local folder, or lies on s3"):
            open_storage(location)
