"""Host work beside the renderer, before and after: it overlaps, it is bounded, and whoever is at fault is named."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs.shard.host_pool
from jobs.errors import StorageError
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.shard.host_pool import HostPool
from jobs.shard.prefetch import ITEMS_AHEAD, Prefetch
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from renderer.errors import MidiError
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.rendering import Rendering
from schemas.manifest import ManifestRow
from schemas.results import ItemResult
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import DummyBackend, DummyRenderer

PATIENCE = 20.0


def rendering(item_id: str, samples: int = 8) -> Rendering:
    return Rendering(item_id, np.zeros(samples, np.float32), 8000, 1.0, Notes.none(), NoteReport(), 1, 0, "p")


def result(rendering: Rendering) -> ItemResult:
    return ItemResult(item_id=rendering.item_id, shard=0, status="ok", seed=0, model_id="m")


def work_for(manifest: Path, storage: LocalStorage, **options: Any) -> ShardWork:
    job = prepare(
        RenderOptions(manifest=str(manifest), actors=1, shard_items=99, device="cpu", **options), DummyBackend()
    )
    return ShardWork(job.run, str(manifest), job.bank, storage, job.backend, job.inputs)


def test_every_item_comes_back_once_and_in_the_order_of_its_coming() -> None:
    ids = [str(index) for index in range(100)]
    with closing(HostPool(result)) as pool:
        done = [item for item_id in ids for item in pool.add(rendering(item_id))]
        done += pool.rest()
        assert [item.item_id for item in done] == ids
        assert [item.result.result().item_id for item in done] == ids
        assert not list(pool.rest())


@pytest.mark.parametrize(("limit", "most"), [("MOST_ITEMS", 3), ("MOST_BYTES", 3 * 32)])
def test_who_adds_more_than_there_is_room_for_waits(limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.shard.host_pool, limit, most)
    go = threading.Semaphore(0)
    added: list[str] = []

    def handle(rendering: Rendering) -> ItemResult:
        assert go.acquire(timeout=PATIENCE)
        return result(rendering)

    def add(pool: HostPool) -> None:
        for index in range(6):
            pool.add(rendering(str(index)))
            added.append(str(index))

    with closing(HostPool(handle)) as pool:
        thread = threading.Thread(target=add, args=(pool,))
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while len(added) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert added == ["0", "1", "2"]
        go.release(6)
        thread.join(PATIENCE)
        assert len(added) == 6


def test_one_item_that_is_longer_than_there_is_room_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.shard.host_pool, "MOST_BYTES", 10)
    with closing(HostPool(result)) as pool:
        done = [*pool.add(rendering("long", 1000)), *pool.add(rendering("longer", 2000)), *pool.rest()]
    assert [item.item_id for item in done] == ["long", "longer"]


def test_nothing_is_under_way_when_it_is_closed() -> None:
    handled: list[str] = []

    def handle(rendering: Rendering) -> ItemResult:
        time.sleep(0.05)
        handled.append(rendering.item_id)
        return result(rendering)

    with pytest.raises(RuntimeError, match="stopped"), closing(HostPool(handle)) as pool:
        for index in range(10):
            pool.add(rendering(str(index)))
        raise RuntimeError("stopped")
    count = len(handled)
    time.sleep(0.2)
    assert len(handled) == count


class SlowStorage(LocalStorage):
    """One object waits until more items have been rendered."""

    rendered = threading.Semaphore(0)

    def create(self, key: str, data: bytes) -> bool:
        if key == "audio/a.flac":
            for _ in range(4):
                assert self.rendered.acquire(timeout=PATIENCE), "nothing is rendered while an item is written"
        return super().create(key, data)


def test_the_next_items_are_rendered_while_one_is_written(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = DummyRenderer._rendering

    def rendering(*arguments: Any) -> Rendering:
        SlowStorage.rendered.release()
        return make(*arguments)

    monkeypatch.setattr(DummyRenderer, "_rendering", rendering)
    ids = ["a", "b", "c", "d", "e"]
    work = work_for(make_corpus(tmp_path, ids), SlowStorage(out))
    assert ShardRenderer(work).render(Task(work.run.shards[0])).failed == 0
    assert [row["status"] for row in results(out)] == ["ok"] * 5


class FullStorage(LocalStorage):
    """Refuses one object."""

    def create(self, key: str, data: bytes) -> bool:
        if key == "audio/c.flac":
            raise StorageError("no space")
        return super().create(key, data)


def test_a_shard_of_which_one_object_cannot_be_written_is_not_committed(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, ["a", "b", "c", "d", "e"]), FullStorage(out))
    with pytest.raises(StorageError, match="no space"):
        ShardRenderer(work).render(Task(work.run.shards[0]))
    assert not results(out) and not (out / "metadata").exists()
    work = work_for(make_corpus(tmp_path, ["a", "b", "c", "d", "e"]), LocalStorage(out))
    assert ShardRenderer(work).render(Task(work.run.shards[0])).failed == 0


def test_an_item_that_cannot_be_encoded_fails_alone_whatever_is_under_way(tmp_path: Path, out: Path) -> None:
    ids = ["a", "broken-1", "b", "raises-1", "c", "broken-2", "d"]
    work = work_for(make_corpus(tmp_path, ids), LocalStorage(out))
    ShardRenderer(work).render(Task(work.run.shards[0]))
    rows = {row["item_id"]: row["error_type"] for row in results(out)}
    assert list(rows) == ids
    failed = {"broken-1": "AudioError", "broken-2": "AudioError", "raises-1": "RuntimeError"}
    assert {item_id: reason for item_id, reason in rows.items() if reason} == failed
    assert set(audio(out)) == {
        f"{kind}/{name}" for n in "abcd" for kind, name in (("audio", f"{n}.flac"), ("midi", f"{n}.mid"))
    }


def _threads() -> Iterator[str]:
    return (thread.name for thread in threading.enumerate() if thread.name.startswith("host"))


def test_no_thread_outlives_a_shard(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, ["a", "b"]), LocalStorage(out))
    ShardRenderer(work).render(Task(work.run.shards[0]))
    assert not list(_threads())


def test_the_next_items_are_read_ahead_and_no_more() -> None:
    rows = [ManifestRow(str(index), f"{index}.mid", "p") for index in range(20)]
    read: list[str] = []
    has_read = threading.Condition()

    def performance(row: ManifestRow) -> Performance:
        with has_read:
            read.append(row.item_id)
            has_read.notify_all()
        if row.item_id == "5":
            raise MidiError("not a MIDI file")
        return Performance(Notes.none(), NoteReport())

    prefetch = Prefetch(performance, rows)
    assert not read
    prefetch.start()
    for index in range(20):
        row, found = prefetch.next() or pytest.fail("rows are missing")
        assert row.item_id == str(index)
        with has_read:  # While this row is rendered, the next ones are read.
            assert has_read.wait_for(lambda: len(read) >= min(index + 1 + ITEMS_AHEAD, 20), PATIENCE)  # noqa: B023
            assert len(read) == min(index + 1 + ITEMS_AHEAD, 20)
        if index == 5:
            with pytest.raises(MidiError, match="not a MIDI file"):
                found.result()
        else:
            assert isinstance(found.result(), Performance)
    assert prefetch.next() is None and prefetch.next() is None
    assert read == [row.item_id for row in rows]
