"""The index of markers is never the truth: lost, old, damaged or written by two, markers say it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jobs.run_directory.index_keeper as index_keeper
from jobs.errors import JobError, StorageError
from jobs.inspect.garbage import delete_garbage, find_garbage
from jobs.inspect.status import status
from jobs.run.beginning import overwrite
from jobs.run_directory.index_keeper import IndexKeeper
from jobs.run_directory.marker_index import INDEX_FOLDER, MarkerIndex, write_index
from jobs.run_directory.run_directory import RunDirectory, marker_key
from jobs.run_directory.totals import Totals
from jobs.storage import S3Access, Storage, open_storage
from jobs.storage.local_storage import LocalStorage
from jobs.storage.s3_storage import S3Storage
from schemas.marker import MarkerSummary
from schemas.marker_index import IndexRow
from tests.jobs.support.many_shards import make_shards, synthetic_marker
from tests.jobs.support.memory_s3 import running_memory_s3

SHARDS = 30


@pytest.fixture(params=["local", "S3"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunDirectory]:
    """A run whose markers name objects, on each kind of storage."""
    monkeypatch.setattr(index_keeper, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(index_keeper, "ROWS_AT_ONCE", 12)
    monkeypatch.setattr(index_keeper, "LEAST_AT_END", 5)
    if request.param == "local":
        yield make_shards(tmp_path / "corpus", LocalStorage(tmp_path / "out"), SHARDS, objects=2)
        return
    with running_memory_s3() as server:
        storage = open_storage("s3://corpus/run", S3Access(server.endpoint))
        yield make_shards(tmp_path / "corpus", storage, SHARDS, objects=2)


def total(run: RunDirectory) -> Totals:
    totals = Totals()
    for marker in run.markers():
        totals.add(marker)
    return totals


def keep(run: RunDirectory, known: frozenset[str] = frozenset()) -> None:
    """What a driver does of which all shards are finished, and that ends."""
    with IndexKeeper(run, total(run), known):
        pass


def count_reads(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many objects of which folder are read."""
    asked: Counter[str] = Counter()
    read = type(storage).read

    def counted(self: Any, key: str) -> bytes:
        asked[key.rpartition("/")[0]] += 1
        return read(self, key)

    monkeypatch.setattr(type(storage), "read", counted)
    return asked


def check(run: RunDirectory) -> None:
    """That what is said with the index is what the markers say."""
    summaries = list(run.summaries())
    assert summaries == [marker.summary() for marker in run.markers()]
    assert [summary.shard for summary in summaries] == list(range(len(summaries)))


def test_what_is_indexed_is_not_read_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(run)
    asked = count_reads(run.storage, monkeypatch)
    check_again = list(run.summaries())
    assert [summary.shard for summary in check_again] == list(range(SHARDS))
    assert asked == {INDEX_FOLDER: 3}
    output = status(run)
    assert f"{SHARDS} of {SHARDS} finished" in output and asked == {INDEX_FOLDER: 6, "": 1}
    check(run)


def test_what_the_index_lacks_is_read_and_added_later(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    totals = Totals()
    with IndexKeeper(run, totals, ()):
        for marker in list(run.markers())[:13]:
            totals.add(marker)
        for _ in range(500):
            if list(run.storage.keys(INDEX_FOLDER)):
                break
            time.sleep(0.01)
    index = MarkerIndex.read(run.storage)
    assert [summary.shard for summary in run.summaries(index)] == list(range(SHARDS))
    assert 12 <= len(index.known) <= 13  # The last one alone is not worth an object.
    known = frozenset(index.known)
    keep(run, known)
    asked = count_reads(run.storage, monkeypatch)
    list(run.summaries())
    assert asked["_state/done"] == 0
    check(run)


@pytest.mark.parametrize("harm", ["lost", "cut", "flipped", "other", "empty", "not Parquet"])
def test_a_damaged_index_is_passed_over(run: RunDirectory, harm: str) -> None:
    keep(run)
    first, *others = sorted(run.storage.keys(INDEX_FOLDER))
    data = run.storage.read(first)
    match harm:
        case "lost":
            run.storage.delete(first)
        case "cut":
            run.storage.write(first, data[:-100])
        case "flipped":
            for key in (first, *others):
                data = run.storage.read(key)
                for place in range(0, len(data), 301):
                    run.storage.write(key, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
                    check(run)
        case "other":
            run.storage.write(first, run.storage.read(others[0]))
        case "empty":
            write_index(run.storage, [])
        case _:
            run.storage.write(first, b"{}")
            run.storage.write(f"{INDEX_FOLDER}/NOTES.txt", b"mine")
    check(run)


def test_what_says_something_else_of_a_marker_than_its_version_and_size_is_not_believed(run: RunDirectory) -> None:
    listed = {found.key: found for found in run.storage.versions("_state/done")}
    wrong = synthetic_marker(7).summary()
    key = marker_key(3)
    write_index(
        run.storage,
        [
            IndexRow(key, "another", listed[key].bytes, wrong),
            IndexRow(key, listed[key].version, listed[key].bytes + 1, wrong),
            IndexRow(marker_key(SHARDS + 5), "x", 9, wrong),  # No such marker is there.
        ],
    )
    check(run)
    keep(run)
    time.sleep(0.02)
    run.storage.write(key, run.storage.read(key).replace(b'"items": 10', b'"items": 11'))
    assert next(summary.items for summary in run.summaries() if summary.shard == 3) == 11
    check(run)
    run.storage.write(key, b"{")
    with pytest.raises(JobError, match=r"00003\.json: not a commit marker"):
        list(run.summaries())


def test_a_later_generation_counts(run: RunDirectory) -> None:
    keep(run)
    again = synthetic_marker(4)
    again = type(again)(**{**vars(again), "generation": 1, "items": 9})
    assert run.commit(again) == again
    assert [summary.items for summary in run.summaries() if summary.shard == 4] == [9]
    check(run)


def test_two_drivers_may_write_at_once(run: RunDirectory) -> None:
    drivers = [threading.Thread(target=keep, args=(run,)) for _ in range(3)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert len(list(run.storage.keys(INDEX_FOLDER))) >= 3
    check(run)


def test_an_index_that_cannot_be_written_stops_nothing(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, key: str, data: bytes) -> bool:
        raise StorageError("no")

    monkeypatch.setattr(type(run.storage), "create", refuse)
    keep(run)
    assert list(run.storage.keys(INDEX_FOLDER)) == []


def test_a_storage_that_does_not_answer_is_not_waited_for_at_the_end(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def wait(self: object, key: str) -> tuple[bytes, str]:
        answers.wait(20)
        return b"", ""

    monkeypatch.setattr(type(run.storage), "read_version", wait)
    monkeypatch.setattr(index_keeper, "PARTING_SECONDS", 0.2)
    since = time.monotonic()
    keep(run)
    assert time.monotonic() - since < 10
    answers.set()


def test_few_shards_have_no_index(run: RunDirectory) -> None:
    totals = Totals()
    totals.add(next(run.markers()))
    with IndexKeeper(run, totals, ()):
        time.sleep(0.1)
    assert list(run.storage.keys(INDEX_FOLDER)) == []


def test_the_index_is_no_garbage_and_goes_with_its_run(run: RunDirectory) -> None:
    keep(run)
    index = set(run.storage.keys(INDEX_FOLDER))
    garbage = find_garbage(run, 0.0)
    assert not garbage.objects
    list(delete_garbage(run, garbage))
    assert set(run.storage.keys(INDEX_FOLDER)) == index
    run.storage.write(f"{INDEX_FOLDER}/mine.parquet", b"")
    assert overwrite(run, yes=True)
    assert list(run.storage.keys()) == [f"{INDEX_FOLDER}/mine.parquet"]


def test_versions_on_a_real_server_are_those_that_are_read(s3: Any, tmp_path: Path) -> None:
    """A server whose listing says another ETag than its answers would make every index useless."""
    run = make_shards(tmp_path, S3Storage.at(s3.uri()), 12)
    rows = []
    for found in run.storage.versions("_state/done"):
        content, version = run.storage.read_version(found.key)
        rows.append(IndexRow(found.key, version, len(content), MarkerSummary.from_json(content)))
    write_index(run.storage, rows)
    index = MarkerIndex.read(run.storage)
    assert len(list(run.summaries(index))) == len(index.known) == 12
