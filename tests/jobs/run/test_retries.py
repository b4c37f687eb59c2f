"""What follows from deaths, without Ray: a corpus of rows that kill, hang, or die by chance."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.run.retries import FRUITLESS_ROUNDS, ITEM_TRIES, LOAD_TRIES, SLOT_DEATHS, Retries, SlotHealth
from jobs.shard.task import Fault, Part, Task
from schemas.run import Shard

CRASH, HANG = Fault("WorkerCrashed", "killed"), Fault("TimedOut", "silent")


PART = Part("00000-0", (0, 1), 0, 1.0, 1.0, None, ())


def work_through(
    retries: Retries, fault_of: Callable[[Task, set[int]], Fault | None]
) -> tuple[dict[int, Task], list[Task]]:
    """Do all tasks, one after the other: the tasks that finished their shards, and all that died."""
    finished, deaths = {}, []
    while retries:
        task = retries.take()
        rows = set(task.probe or task.places) - (set() if task.probe else set(task.quarantined))
        if fault := fault_of(task, rows):
            deaths.append(task)
            retries.died([task], fault)
        else:
            retries.ended(task)
            if not task.probe:
                finished[task.shard.index] = task
    return finished, deaths


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.sets(st.integers(0, 119), max_size=6), st.sampled_from([CRASH, HANG]))
def test_exactly_the_rows_that_kill_are_quarantined(rows: int, killers: set[int], fault: Fault) -> None:
    killers = {row for row in killers if row < rows}
    retries = Retries([Task(Shard(0, 0, rows)), Task(Shard(1, rows, 10))])
    finished, deaths = work_through(
        retries, lambda task, tried: fault if task.shard.index == 0 and tried & killers else None
    )
    assert set(finished) == {0, 1}
    assert set(finished[0].quarantined) == killers and not finished[1].quarantined
    assert {reason.error_type for reason in finished[0].quarantined.values()} <= {fault.error_type}
    alone = Counter(row for task in deaths for row in task.probe if len(task.probe) == 1)
    assert all(count == ITEM_TRIES for count in alone.values())


def test_one_killer_among_a_hundred_costs_six_deaths() -> None:
    retries = Retries([Task(Shard(0, 0, 100))])
    _, deaths = work_through(retries, lambda task, tried: CRASH if 41 in tried else None)
    assert [len(task.probe) for task in deaths] == [0, 0, 10, 1, 1, 1]


def test_a_death_by_chance_costs_a_second_try_of_the_shard_and_nothing_else() -> None:
    retries = Retries([Task(Shard(0, 0, 100))])
    chance = iter([CRASH, None])
    finished, deaths = work_through(retries, lambda task, tried: next(chance))
    assert deaths == [Task(Shard(0, 0, 100))] and not finished[0].quarantined


def test_a_shard_that_kills_only_as_a_whole_is_given_up_and_charges_no_item() -> None:
    retries = Retries([Task(Shard(0, 0, 9)), Task(Shard(1, 9, 9))])
    finished, deaths = work_through(
        retries, lambda task, tried: CRASH if task.shard.index == 0 and len(tried) == 9 else None
    )
    assert set(finished) == {1}
    assert len(deaths) == 2 * (FRUITLESS_ROUNDS + 1)


def test_quarantined_rows_of_a_retry_keep_their_generation() -> None:
    retries = Retries([Task(Shard(0, 0, 1), generation=2)])
    finished, _ = work_through(retries, lambda task, tried: CRASH if tried else None)
    assert finished[0].generation == 2 and set(finished[0].quarantined) == {0}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.sets(st.integers(0, 79), max_size=4), st.sampled_from([CRASH, HANG]))
def test_who_kills_is_found_also_if_a_worker_begins_two_shards(shards: int, killers: set[int], fault: Fault) -> None:
    retries = Retries([Task(Shard(index, 10 * index, 10)) for index in range(shards)])
    killers = {row for row in killers if row < 10 * shards}
    finished: dict[int, set[int]] = {}
    deaths, begun = 0, None
    while begun or retries:
        task = begun or retries.take()
        begun = None
        if retries and not retries.is_alone(task) and not retries.is_alone(next(iter(retries))):
            begun = retries.take()
        tried = set(task.probe or set(range(10)) - set(task.quarantined))
        rows = {task.shard.first_row + row for row in tried}
        if begun is not None:
            assert not task.probe and not task.quarantined and not begun.probe
            rows |= set(range(begun.shard.first_row, begun.shard.first_row + 10))
        if rows & killers:
            deaths += 1
            verdict = retries.died([task] if begun is None else [task, begun], fault)
            assert begun is None or verdict == "tried again"
            begun = None
        else:
            retries.ended(task)
            if not task.probe:
                finished[task.shard.index] = {task.shard.first_row + row for row in task.quarantined}
    assert set(finished) == set(range(shards))
    assert set().union(*finished.values()) == killers
    assert deaths <= 7 * len(killers) + 1


def test_a_death_with_two_shards_charges_neither_and_both_are_rendered_alone() -> None:
    tasks = [Task(Shard(index, index, 1)) for index in range(4)]
    retries = Retries(tasks)
    assert retries.died([retries.take(), retries.take()], HANG) == "tried again"
    for alone in tasks[:2]:
        assert retries.is_alone(alone) and retries.take() == alone
        retries.ended(alone)
        assert not retries.is_alone(alone)
    assert retries.take() == tasks[2] and not retries.is_alone(tasks[2])


def test_what_is_found_of_a_part_is_about_its_rows_alone() -> None:
    whole, part = Task(Shard(0, 0, 30)).split(10)
    retries = Retries([whole, part])
    assert retries.take() == whole
    retries.ended(whole)
    finished, deaths = work_through(retries, lambda task, tried: CRASH if 25 in tried & set(part.rows) else None)
    assert set(finished[0].quarantined) == {25} and finished[0].rows == part.rows
    assert {row for task in deaths for row in task.probe} <= set(range(20, 30))


def test_what_dies_while_it_is_put_together_is_given_up_in_the_end() -> None:
    retries = Retries([Task(Shard(0, 0, 2), parts=(PART,))])
    finished, deaths = work_through(retries, lambda task, tried: CRASH)
    assert finished == {} and len(deaths) == 2 * (FRUITLESS_ROUNDS + 1)


@pytest.mark.parametrize(("loading", "deaths"), [(True, LOAD_TRIES), (False, SLOT_DEATHS)])
def test_a_worker_is_given_up_after_deaths_in_a_row(loading: bool, deaths: int) -> None:
    health = SlotHealth()
    assert [health.died(loading) for _ in range(deaths)] == [False] * (deaths - 1) + [True]
    recovered = SlotHealth()
    for _ in range(3 * SLOT_DEATHS):
        assert not recovered.died(False)
        recovered.succeeded()
