"""A shard that several workers share: it ends in one marker, and in the bytes that one worker would have written."""

from pathlib import Path
from typing import Any

import pytest

from jobs.inputs.inputs import Inputs
from jobs.inspect.garbage import find_garbage
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run.split_shards import SplitShards
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.orders import News, Orders
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import held

IDS = ["a", "b", "raises-1", "c", "d", "e", "missing-1", "f", "g", "h"]
LAYOUTS = ["files", "webdataset", "parquet", "codes", "none"]


def work_for(manifest: Path, out: Path, **options: Any) -> ShardWork:
    settings = {"actors": 1, "shard_items": 99, "device": "cpu", **options}
    job = prepare(RenderOptions(manifest=str(manifest), **settings), DummyBackend())
    RunDirectory(LocalStorage(out)).start(job.run)
    return ShardWork(job.run, str(manifest), job.bank, LocalStorage(out), DummyBackend(), job.inputs)


def share(work: ShardWork, task: Task, given: int) -> tuple[News, News, Task]:
    """Two workers do a task, of which the second takes over some rows: their news, and what is left to do."""
    first, second = ShardRenderer(work), ShardRenderer(work)
    back = first.work(Orders((task,), give_back=given))
    (standing,), (theirs,) = back.line, back.given_back
    assert standing.task.rows + theirs.rows == task.places and len(theirs.rows) == given
    news = first.work(Orders((standing.task,))), second.work(Orders((theirs,)))
    assert all(each.marker is None and each.part is not None for each in news)
    split = SplitShards()
    assert news[0].part and news[1].part and split.add(theirs, news[1].part) is None
    whole = split.add(standing.task, news[0].part)
    assert whole is not None
    return *news, whole


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [(), (7, 2, 9, 0, 1, 3, 4, 5, 6, 8)])
def test_a_shard_in_parts_is_the_shard_of_one_worker(
    tmp_path: Path, out: Path, layout: str, rows: tuple[int, ...]
) -> None:
    manifest = make_corpus(tmp_path, IDS, tags=[[name] for name in IDS])
    options = {"layout": layout, "save_codes": layout not in ("codes", "none")}
    alone = work_for(manifest, tmp_path / "alone", **options)
    expected = ShardRenderer(alone).render(Task(alone.run.shards[0]))
    work = work_for(manifest, out, **options)
    *_, whole = share(work, Task(work.run.shards[0], rows=rows), 4)
    assert list((out / "_state/parts").iterdir()) and not (out / "_state/done").exists()
    marker = ShardRenderer(work).render(whole)
    assert (marker.items, marker.failures, marker.quality) == (expected.items, expected.failures, expected.quality)
    assert marker.audio_seconds == pytest.approx(expected.audio_seconds) and marker.render_seconds > 0
    assert held(str(out)) == held(str(tmp_path / "alone"))
    assert not list((out / "_state/parts").iterdir())
    varies = ("audio_path", "midi_path", "codes_path", "render_seconds", "shard")
    strip = [{name: value for name, value in row.items() if name not in varies} for row in results(out)]
    assert strip == [
        {name: value for name, value in row.items() if name not in varies} for row in results(tmp_path / "alone")
    ]
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


@pytest.mark.parametrize("layout", ["files", "parquet"])
def test_parts_that_nobody_put_together_are_garbage_and_the_shard_is_rendered_anew(
    tmp_path: Path, out: Path, layout: str
) -> None:
    work = work_for(make_corpus(tmp_path, IDS), out, layout=layout, shard_items=5)
    ShardRenderer(work).render(Task(work.run.shards[1]))
    share(work, Task(work.run.shards[0]), 3)
    directory = RunDirectory(LocalStorage(out))
    left = {path.relative_to(out).as_posix() for path in (out / "_state/parts").iterdir()}
    assert len(left) == (2 if layout == "files" else 4)
    assert left <= {found.key for found in find_garbage(directory, 0.0).objects}
    assert left <= set(directory.own_keys(work.run))
    ShardRenderer(work).render(Task(work.run.shards[0]))
    assert [row["item_id"] for row in results(out)] == IDS
    assert list(find_problems(directory, Inputs())) == []


def test_of_two_that_put_a_shard_together_one_marker_holds(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, IDS), out, layout="webdataset")
    *_, whole = share(work, Task(work.run.shards[0]), 3)
    late = ShardRenderer(work).render(Task(work.run.shards[0]))
    assert ShardRenderer(work).render(whole) == late
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


def test_what_is_not_begun_is_given_back_from_the_end_of_the_line(tmp_path: Path, out: Path) -> None:
    work = work_for(make_corpus(tmp_path, list("abcdefghij")), out, shard_items=4)
    tasks = [Task(shard) for shard in work.run.shards]
    renderer = ShardRenderer(work)
    begun = renderer.work(Orders(tuple(tasks), low=9))
    assert [standing.waiting for standing in begun.line] == [2, 4, 2]
    back = renderer.work(Orders(tuple(tasks), give_back=5))
    assert back.given_back == (tasks[2], Task(work.run.shards[1], rows=(1, 2, 3)))
    assert [standing.task for standing in back.line] == [tasks[0], Task(work.run.shards[1], rows=(0,))]
    line = tuple(standing.task for standing in back.line)
    assert renderer.work(Orders(line)).marker is not None
    part = renderer.work(Orders(line[1:])).part
    assert part is not None and part.rows == (0,)
    assert renderer.work(Orders((tasks[2],), give_back=9)).given_back == (tasks[2],)


def test_a_worker_comes_back_when_its_time_is_up_and_goes_on_with_what_is_begun(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, list("abcd"))
    work = work_for(manifest, out)
    slow = ShardRenderer(ShardWork(work.run, work.manifest, None, work.storage, DummyBackend(seconds_per_item=0.2)))
    task, calls = Task(work.run.shards[0]), 0
    while (news := slow.work(Orders((task,), seconds=0.1))).marker is None:
        calls += 1
        assert [standing.task for standing in news.line] == [task]
    assert calls >= 4 and news.marker.items == 4
