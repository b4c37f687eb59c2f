"""What only a local folder can do wrong."""

import resource
import subprocess
import sys
from pathlib import Path

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
