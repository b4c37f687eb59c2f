"""One shard after the other without a break: what follows is begun while a shard ends, and nothing else changes."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from jobs.errors import StorageError
from jobs.run.actors import RenderActor
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.items import ItemReader
from jobs.shard.orders import Orders
from jobs.shard.progress import ShardProgress
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from renderer.decoding.sampling import Sampling
from renderer.midi.notes import Performance
from renderer.rendering import Rendering, RenderRequest
from schemas.manifest import ManifestRow
from schemas.marker import Marker
from tests.jobs.support.corpus import audio, make_corpus, results
from tests.jobs.support.dummy import DummyBackend, DummyRenderer

PATIENCE = 20.0


class Recorder(DummyBackend):
    """Its renderer writes down what it renders."""

    rendered: list[str]

    def load(self, device: str) -> DummyRenderer:
        return RecordingDummy(self)


class RecordingDummy(DummyRenderer):
    def __init__(self, backend: Recorder) -> None:
        super().__init__(0.0)
        self.rendered: list[str] = []
        backend.rendered = self.rendered

    def _rendering(self, request: RenderRequest) -> Rendering:
        self.rendered.append(request.item_id)
        return super()._rendering(request)


def work_for(manifest: Path, storage: LocalStorage, backend: Any, **options: Any) -> ShardWork:
    settings = {"actors": 1, "shard_items": 3, "device": "cpu", **options}
    job = prepare(RenderOptions(manifest=str(manifest), **settings), backend)
    return ShardWork(job.run, str(manifest), job.bank, storage, backend, job.inputs)


def tasks(work: ShardWork) -> list[Task]:
    return [Task(shard) for shard in work.run.shards]


def work_on(renderer: ShardRenderer, *line: Task) -> Marker:
    """Work on a line of tasks until the first is finished."""
    marker = renderer.work(Orders(line)).marker
    assert marker is not None
    return marker


def apart(manifest: Path, out: Path, **options: Any) -> dict[str, bytes]:
    """The audio and MIDI of a run each of whose shards was rendered by itself."""
    work = work_for(manifest, LocalStorage(out), DummyBackend(), **options)
    renderer = ShardRenderer(work)
    for task in tasks(work):
        renderer.render(task)
    return audio(out)


def test_what_follows_is_begun_before_a_shard_is_over_and_not_rendered_again(tmp_path: Path, out: Path) -> None:
    manifest, backend = make_corpus(tmp_path, list("abcdefgh")), Recorder()
    work = work_for(manifest, LocalStorage(out), backend)
    first, second, third = tasks(work)
    renderer = ShardRenderer(work)
    assert work_on(renderer, first, second).items == 3
    assert backend.rendered[:4] == ["a", "b", "c", "d"]  # Two at a time: c would have been alone.
    assert [path.name for path in (out / "_state/done").iterdir()] == ["00000.json"]
    assert work_on(renderer, second, third).items == 3
    assert renderer.render(third).items == 2
    assert sorted(backend.rendered) == list("abcdefgh")
    assert [row["item_id"] for row in results(out)] == list("abcdefgh")
    assert audio(out) == apart(manifest, tmp_path / "apart")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("host", "commit"))]


def test_what_was_begun_is_dropped_if_something_else_is_asked_for(tmp_path: Path, out: Path) -> None:
    manifest, backend = make_corpus(tmp_path, list("abcdefgh")), Recorder()
    work = work_for(manifest, LocalStorage(out), backend)
    first, second, third = tasks(work)
    renderer = ShardRenderer(work)
    work_on(renderer, first, second)
    renderer.work(Orders((replace(second, probe=(1,)),)))
    renderer.render(third)
    renderer.render(second)
    assert backend.rendered.count("d") == 2 and backend.rendered.count("e") >= 2
    assert audio(out) == apart(manifest, tmp_path / "apart")


@pytest.mark.parametrize("layout", ["files", "webdataset"])
def test_bad_items_of_either_shard_fail_alone(tmp_path: Path, out: Path, layout: str) -> None:
    ids = ["a", "b", "raises-1", "raises-2", "missing-1", "c", "broken-1", "d"]
    manifest = make_corpus(tmp_path, ids)
    work = work_for(manifest, LocalStorage(out), DummyBackend(), layout=layout)
    first, second, third = tasks(work)
    renderer = ShardRenderer(work)
    markers = [work_on(renderer, first, second), work_on(renderer, second, third), renderer.render(third)]
    assert [(marker.items, marker.failed) for marker in markers] == [(3, 1), (3, 2), (2, 1)]
    assert [row["item_id"] for row in results(out) if row["status"] == "ok"] == list("abcd")
    errors = {row["item_id"]: row["error_message"] for row in results(out)}
    assert "cannot render raises-1" in errors["raises-1"] and "cannot render raises-2" in errors["raises-2"]


def test_the_first_items_of_what_follows_are_read_beforehand(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, threading.Event] = {item_id: threading.Event() for item_id in "abcdef"}
    performance = ItemReader.performance

    def reading(self: ItemReader, row: ManifestRow) -> Performance:
        read[row.item_id].set()
        return performance(self, row)

    def rendering(self: DummyRenderer, request: RenderRequest) -> Rendering:
        assert all(read[item_id].wait(PATIENCE) for item_id in ("def" if request.item_id == "a" else ""))
        return render(self, request)

    render = DummyRenderer._rendering
    monkeypatch.setattr(ItemReader, "performance", reading)
    monkeypatch.setattr(DummyRenderer, "_rendering", rendering)
    work = work_for(make_corpus(tmp_path, list("abcdef")), LocalStorage(out), DummyBackend())
    first, second = tasks(work)
    renderer = ShardRenderer(work)
    assert work_on(renderer, first, second).failed == 0
    assert renderer.render(second).failed == 0


class Slow(LocalStorage):
    """The first shard's metadata wait until items of the next are rendered."""

    rendered: list[str]

    def write(self, key: str, data: bytes) -> None:
        if key.startswith("metadata/00000"):
            for _ in range(int(PATIENCE * 100)):
                if {"d", "e", "f"} <= set(self.rendered):
                    break
                threading.Event().wait(0.01)
            else:
                raise StorageError("nothing is rendered while a shard is committed")
        super().write(key, data)


def test_rendering_goes_on_while_a_shard_is_committed(tmp_path: Path, out: Path) -> None:
    backend, storage = Recorder(), Slow(out)
    work = work_for(make_corpus(tmp_path, list("abcdef")), storage, backend)
    first, second = tasks(work)
    renderer = ShardRenderer(work)
    storage.rendered = backend.rendered
    assert work_on(renderer, first, second).items == 3
    assert renderer.render(second).items == 3


class Full(Slow):
    """Has no room for an item of the second shard."""

    def create(self, key: str, data: bytes) -> bool:
        if key == "audio/e.flac":
            raise StorageError("no space")
        return super().create(key, data)


def test_what_is_wrong_with_the_next_shard_is_reported_when_that_is_asked_for(tmp_path: Path, out: Path) -> None:
    backend, storage = Recorder(), Full(out)
    work = work_for(make_corpus(tmp_path, list("abcdef")), storage, backend)
    first, second = tasks(work)
    renderer = ShardRenderer(work)
    storage.rendered = backend.rendered
    assert work_on(renderer, first, second).items == 3
    assert [row["status"] for row in results(out)] == ["ok"] * 3
    with pytest.raises(StorageError, match="no space"):
        renderer.render(second)
    assert [marker.shard for marker in RunDirectory(storage).markers()] == [0]


class Starved(DummyRenderer):
    """Has once no memory for an item of the second shard, while the first is committed."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.is_committing, self.has_failed = threading.Event(), threading.Event()

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        if self._waiting and self._waiting[0].item_id == "e" and not self.has_failed.is_set():
            if not self.is_committing.is_set():
                return []
            self.has_failed.set()
            raise MemoryError("no memory for e")
        return super().step(sampling)


def test_why_the_next_shard_was_dropped_is_kept_and_it_is_rendered_anew(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starved, write = Starved(), LocalStorage.write

    def write_late(self: LocalStorage, key: str, data: bytes) -> None:
        if key.startswith("metadata/00000"):
            starved.is_committing.set()
            assert starved.has_failed.wait(PATIENCE)
        write(self, key, data)

    monkeypatch.setattr(LocalStorage, "write", write_late)
    monkeypatch.setattr(DummyBackend, "load", lambda self, device: starved)
    work = work_for(make_corpus(tmp_path, list("abcdef")), LocalStorage(out), DummyBackend())
    first, second = tasks(work)
    worker = RenderActor()
    outcome = worker.work(work, Mock(), Orders((first, second)))
    assert outcome.marker is not None and outcome.marker.items == 3 and outcome.marker.objects == ()
    assert "MemoryError: no memory for e" in outcome.dropped and "in step" in outcome.dropped
    assert outcome.line == ()
    outcome = worker.work(work, Mock(), Orders((second,)))
    assert outcome.marker is not None and outcome.marker.failed == 0 and outcome.dropped == ""
    assert [row["status"] for row in results(out)] == ["ok"] * 6


class Endless(DummyRenderer):
    """Ends without rendering what it took."""

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        self.clear()
        return []


def test_a_renderer_that_loses_items_is_no_endless_loop(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DummyBackend, "load", lambda self, device: Endless(0.0))
    work = work_for(make_corpus(tmp_path, ["a", "b"]), LocalStorage(out), DummyBackend())
    with pytest.raises(AssertionError, match="the renderer ended without a, b"):
        ShardRenderer(work).render(tasks(work)[0])


def test_both_shards_progress_is_reported(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, list("abcdef")), LocalStorage(out), DummyBackend(seconds_per_item=0.6))
    reports: list[ShardProgress] = []
    first, second = tasks(work)
    renderer = ShardRenderer(work, reports.append)
    work_on(renderer, first, second)
    assert {progress.shard for progress in reports} == {0, 1}
    renderer.render(second)
    for shard in (0, 1):
        items = [progress.items for progress in reports if progress.shard == shard]
        assert items == sorted(items) and items[-1] <= 3
    assert reports[-1].shard == 1


def test_the_model_decodes_shards_in_one_batch_with_the_same_bytes(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, list("abcdef"), prompt=["salamander-close"] * 6)
    backend = ModelBackend("mini", None, None, "fp32", 4)
    runs, full = [], []
    for follow in (True, False):
        out = tmp_path / f"follow-{follow}"
        work = work_for(manifest, LocalStorage(out), backend, batch_size=4, precision="fp32")
        first, second = tasks(work)
        renderer = ShardRenderer(work)
        news = renderer.work(Orders((first, second) if follow else (first,)))
        assert news.marker is not None
        markers = [news.marker, renderer.render(second)]
        runs.append(audio(out))
        full.append(markers[0].occupancy or 0.0)
    assert runs[0] == runs[1]
    # While the first shard's last item is written, steps go on with the three of the second: in three slots of four.
    assert full[0] > 0.9 and full[1] < 0.76


def test_sampling_and_tail_are_the_runs(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Sampling | None, float]] = []

    def step(self: DummyRenderer, sampling: Sampling | None = None) -> list[Rendering]:
        asked.extend((sampling, request.tail) for request in self._waiting)
        return real(self, sampling)

    real = DummyRenderer.step
    monkeypatch.setattr(DummyRenderer, "step", step)
    work = work_for(
        make_corpus(tmp_path, ["a"]), LocalStorage(out), DummyBackend(), temperature=0.5, top_k=7, top_p=0.9, tail=0.3
    )
    ShardRenderer(work).render(tasks(work)[0])
    assert set(asked) == {(Sampling(0.5, 7, 0.9), 0.3)}


class Watched(DummyRenderer):
    """Writes down how many requests it holds when it makes a step."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.held: list[int] = []

    def add(self, request: RenderRequest) -> None:
        assert self.room > 0, "there is no room"
        super().add(request)

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        self.held.append(len(self._waiting) + len(self._rendered))
        return super().step(sampling)


def test_the_renderer_is_given_what_it_has_room_for_and_no_more(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched()
    monkeypatch.setattr(DummyBackend, "load", lambda self, device: watched)
    work = work_for(make_corpus(tmp_path, list("abcdef")), LocalStorage(out), DummyBackend())
    first, second = tasks(work)
    renderer = ShardRenderer(work)
    assert work_on(renderer, first, second).items == renderer.render(second).items == 3
    assert set(watched.held) - {0} == {2}  # 0: all is rendered, and yet to be written.
