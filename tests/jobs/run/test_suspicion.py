"""Who is at fault when all items of a shard lack something: the place or the rows. The policy, without Ray."""

from collections.abc import Container, Mapping
from random import Random

import pytest

from jobs.run.places import AWAITED_SECONDS, STRIKES, Place, Places
from jobs.run.retries import Retries
from jobs.shard.task import Task
from schemas.run import Shard

A, B, C = Place("a", "1"), Place("b", "2"), Place("c", "3")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def places_of(*places: Place, several: bool = True) -> Places:
    found = Places(several, Clock())
    for number, place in enumerate(places):
        found.starts(number)
        found.loads(number)
        found.settles(number, place)
    return found


def queue_of(shards: int) -> Retries:
    return Retries([Task(Shard(index, index, 1)) for index in range(shards)])


def next_for(places: Places, place: Place, queue: Retries) -> Task | None:
    if not any(places.allows(place, task) for task in queue):
        return None
    return places.sent(place, queue.take(lambda task: places.allows(place, task)))


def taken(places: Places, place: Place, queue: Retries) -> Task:
    task = next_for(places, place, queue)
    assert task is not None
    return task


def failed(places: Places, place: Place, task: Task, queue: Retries) -> None:
    places.failed(place, task)
    queue.put_back([task])


def test_on_one_machine_nothing_is_tried_elsewhere() -> None:
    places = places_of(A, A, several=False)
    places.starts(2)
    assert taken(places, A, queue_of(1)) == Task(Shard(0, 0, 1))


def test_on_a_cluster_of_one_node_neither_once_all_workers_are_there() -> None:
    places = places_of(A, A)
    assert not taken(places, A, queue_of(1)).elsewhere
    places.starts(2)
    assert taken(places, A, queue_of(1)).elsewhere


def test_a_suspected_place_gets_nothing_new_until_another_has_rendered_its_shard() -> None:
    places, queue = places_of(A, B), queue_of(3)
    first = taken(places, B, queue)
    assert first.elsewhere
    failed(places, B, first, queue)
    assert next_for(places, B, queue) is None
    again = taken(places, A, queue)
    assert again == Task(Shard(0, 0, 1))  # A is the last to be asked.
    assert next_for(places, B, queue) is None
    assert places.ended(A, again, 1) == []
    assert taken(places, B, queue).shard.index == 1


def test_where_every_place_says_the_same_the_rows_fail_and_no_place_is_blamed() -> None:
    places, queue = places_of(A, B, C), queue_of(1)
    for place in (A, B):
        task = taken(places, place, queue)
        assert task.elsewhere
        failed(places, place, task, queue)
    last = taken(places, C, queue)
    assert not last.elsewhere
    for _ in range(STRIKES):
        assert places.ended(C, last, 0) == []


def test_the_shard_comes_back_to_who_suspected_it_when_nobody_else_is_left() -> None:
    places, queue = places_of(A, B), queue_of(1)
    task = taken(places, B, queue)
    failed(places, B, task, queue)
    assert next_for(places, B, queue) is None
    places.leaves(0)
    assert taken(places, B, queue) == Task(Shard(0, 0, 1))


def test_a_worker_that_loads_is_waited_for_and_one_that_does_not_come_is_not_for_ever() -> None:
    clock = Clock()
    places, queue = Places(True, clock), queue_of(1)
    for worker in range(3):
        places.starts(worker)
    places.loads(0)
    places.settles(0, A)
    places.loads(1)
    failed(places, A, taken(places, A, queue), queue)
    clock.now = 2 * AWAITED_SECONDS
    assert next_for(places, A, queue) is None
    places.leaves(1)
    assert not taken(places, A, queue).elsewhere


def test_three_shards_in_a_row_are_too_many() -> None:
    places, queue = places_of(A, B), queue_of(20)
    blamed = []
    for _ in range(STRIKES):
        task = taken(places, B, queue)
        failed(places, B, task, queue)
        blamed = list(places.ended(A, taken(places, A, queue), 1))
    assert blamed == [B]
    places.ended(B, taken(places, B, queue), 1)  # One that it can render is enough to begin anew.
    failed(places, B, taken(places, B, queue), queue)
    assert places.ended(A, taken(places, A, queue), 1) == []


@pytest.mark.parametrize("seed", range(40))
def test_with_places_that_lack_something_every_shard_is_done_once_and_rightly(seed: int) -> None:
    """Places lack some shards' files, and some files are nowhere: a shard fails if and only if no place has it."""
    random = Random(seed)
    everywhere = [Place(name, name) for name in "abcdef"[: random.randint(1, 6)]]
    lacks = {
        place: {shard for shard in range(30) if random.random() < random.choice((0, 0.3, 1))} for place in everywhere
    }
    places, queue = places_of(*everywhere), queue_of(30)
    outcome = work_through(places, queue, lacks, random)
    assert outcome == {shard: any(shard not in lacks[place] for place in everywhere) for shard in range(30)}


def work_through(
    places: Places, queue: Retries, lacks: Mapping[Place, Container[int]], random: Random
) -> dict[int, bool]:
    """Whether each shard was rendered. One place after the other is asked, by chance; nobody is given up."""
    outcome: dict[int, bool] = {}
    for _ in range(10_000):
        place = random.choice(list(lacks))
        task = next_for(places, place, queue)
        if task is None:
            continue
        shard = task.shard.index
        is_there = shard not in lacks[place]
        if task.elsewhere and not is_there:
            failed(places, place, task, queue)
            continue
        assert shard not in outcome
        outcome[shard] = is_there
        places.ended(place, task, int(is_there))
    assert not queue
    return outcome
