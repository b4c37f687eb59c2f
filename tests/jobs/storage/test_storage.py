"""What every storage does, in a local folder and on a real S3 server."""

import io
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import JobError, StorageError
from jobs.storage import S3Access, Storage, open_storage
from jobs.storage.local_storage import LocalStorage
from jobs.storage.s3_storage import MULTIPART_BYTES, S3Storage
from tests.jobs.support.memory_s3 import running_memory_s3

ODD_KEYS = ("a b", "a+b&c=d", "100%41", "ü/日本", "x/y", "x/y.flac", "~'()!*", "a#b?c", "q;r,s@t", "dots../x..y")


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "storage"))
    return open_storage(request.getfixturevalue("s3").uri())


def test_what_is_written_is_read_back_listed_and_deleted(storage: Storage) -> None:
    storage.write("a/b.txt", b"one")
    storage.write("a/b.txt", b"two")
    storage.write("ab.txt", b"")
    assert storage.read("a/b.txt") == b"two" and storage.read("ab.txt") == b""
    assert sorted(storage.keys()) == ["a/b.txt", "ab.txt"]
    assert list(storage.keys("a")) == ["a/b.txt"]
    assert storage.exists("a/b.txt") and not storage.exists("a")
    assert storage.size("a/b.txt") == 3 and storage.size("a") is None
    with storage.open("a/b.txt") as file:
        assert file.seek(1) == 1 and file.read() == b"wo"
    storage.delete("a/b.txt")
    storage.delete("a/b.txt")
    assert list(storage.keys()) == ["ab.txt"]


def test_parts_of_an_object_are_those_of_the_whole(storage: Storage) -> None:
    content = bytes(range(256)) * 4000
    storage.write("a/b.bin", content)
    with storage.open_parts("a/b.bin") as file:
        assert file.seek(-3, io.SEEK_END) == len(content) - 3 and file.read() == content[-3:] and file.read(1) == b""
        for start, size in ((0, 1), (200_000, 300_000), (7, 5), (len(content) - 10, 99), (len(content) + 5, 9)):
            assert file.seek(start) == start and file.read(size) == content[start : start + size]
            assert file.tell() == start + len(content[start : start + size])
    with pytest.raises(StorageError, match=r"cannot read .*a/nothing: (no such file|there is no such object)"):
        storage.open_parts("a/nothing")


def test_of_an_object_on_s3_little_more_is_fetched_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_memory_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        storage = open_storage("s3://bucket/run")
        storage.write("tar", bytes(50 << 20))
        server.requests.clear()
        with storage.open_parts("tar") as file:
            file.seek(40 << 20)
            assert file.read(512) == bytes(512) and file.read(512) == bytes(512)
        assert server.requests == {"HEAD": 1, "GET": 1}


def test_a_listing_tells_sizes_and_times(storage: Storage) -> None:
    storage.write("a/b", b"12345")
    (found,) = storage.listing()
    assert (found.key, found.bytes) == ("a/b", 5) and abs(found.modified - time.time()) < 60


def test_nothing_is_listed_where_nothing_is(storage: Storage) -> None:
    assert list(storage.keys()) == [] and list(storage.keys("a/b")) == [] and list(storage.leftovers()) == []


def test_what_is_not_there_is_named(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*a/nothing: (no such file|there is no such object)"):
        storage.read("a/nothing")
    with pytest.raises(StorageError, match="cannot read"):
        storage.open("a/nothing")
    assert not storage.exists("a/nothing") and storage.size("a/nothing") is None


def test_of_many_creators_exactly_one_wins_and_its_content_stays(storage: Storage) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.create("marker", bytes([i])), range(16)))
    assert won.count(True) == 1
    assert storage.read("marker") == bytes([won.index(True)])
    assert list(storage.keys()) == ["marker"] and list(storage.leftovers()) == []


def test_odd_keys_are_objects_like_others(storage: Storage) -> None:
    for number, key in enumerate(ODD_KEYS):
        storage.write(key, bytes([number]))
    assert sorted(storage.keys()) == sorted(ODD_KEYS)
    assert [storage.read(key) for key in ODD_KEYS] == [bytes([number]) for number in range(len(ODD_KEYS))]
    assert storage.create("a b", b"") is False and storage.exists("100%41") and not storage.exists("100A")


def test_a_key_cannot_lead_out_of_the_storage(storage: Storage) -> None:
    keys = ["../x", "a/../../x", *(["/etc/x"] if isinstance(storage, LocalStorage) else [])]
    for key in keys:
        for call in (lambda key: storage.write(key, b""), storage.read, storage.exists, storage.delete):
            with pytest.raises(StorageError, match="leads out"):
                call(key)


def test_more_than_a_page_of_keys_is_listed(storage: Storage) -> None:
    keys = [f"n/{number:04d}" for number in range(1205)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: storage.write(key, b"x"), keys))
    assert sorted(storage.keys("n")) == keys


def test_a_large_object_comes_back_as_it_was(storage: Storage) -> None:
    data = bytes(range(256)) * (MULTIPART_BYTES // 256 + 1) + b"end"
    storage.write("large", data)
    assert storage.size("large") == len(data) and storage.read("large") == data
    assert list(storage.leftovers()) == []


def test_it_travels_to_another_process(storage: Storage) -> None:
    storage.write("a", b"x")  # By now it holds what cannot travel.
    copy = pickle.loads(pickle.dumps(storage))
    assert copy == storage and copy.read("a") == b"x"


def test_locations_are_folders_or_on_s3(tmp_path: Path) -> None:
    assert open_storage(str(tmp_path)) == LocalStorage(tmp_path)
    server = S3Access("http://127.0.0.1:1")
    assert open_storage("s3://b/x/y/", server) == S3Storage("b", "x/y", server)
    assert open_storage("s3://b").uri == "s3://b"
    for location, message in (("s3://", "names no bucket"), ("https://host/x", "or lies on s3://")):
        with pytest.raises(JobError, match=message):
            open_storage(location)
    for endpoint, message in (
        ("ftp://x", "not an S3 endpoint"),
        ("http://me:secret@x", "^the S3 endpoint URL holds a"),
    ):
        with pytest.raises(JobError, match=message):
            open_storage("s3://b", S3Access(endpoint))


@pytest.mark.parametrize("size", [0, 1000, MULTIPART_BYTES + 1])
def test_a_file_is_written_whole_and_stays_open(storage: Storage, size: int) -> None:
    file = io.BytesIO(b"x" * size)
    file.seek(0, io.SEEK_END)
    storage.write_file("a/file", file)
    storage.write_file("a/file", file)
    assert not file.closed and storage.read("a/file") == b"x" * size
