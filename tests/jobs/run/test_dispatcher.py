"""Who does what, without Ray: the run's own policy gives orders to workers that only know how long rows take."""

import random

import numpy as np
import pytest

from jobs.run.dispatcher import Dispatcher
from jobs.run.pace import LEAST_SHARE_SECONDS
from jobs.run.row_weights import RowWeights
from jobs.shard.orders import News, Standing
from jobs.shard.task import Fault, Task
from schemas.run import Shard
from tests.jobs.fleet_simulation import Outcome, Plan, Simulation, draw, what_is_wrong
from tests.jobs.support.simulated_worker import Item

WAVE = 3.0
"""Seconds of a segment of 15 s in one of 16 slots that render 80 seconds of audio in a second."""

SHORT: Item = [WAVE]
HALF_HOUR: Item = [WAVE] * 120


def uneven(seed: int) -> list[Item]:
    """Items of one segment, of some, and of many."""
    chance = random.Random(seed)
    spread, count = chance.uniform(0.3, 1.2), chance.randint(1000, 2000)
    return [_segments(chance.lognormvariate(0.0, spread)) for _ in range(count)]


def _segments(waves: float) -> Item:
    return [WAVE] * int(waves) + [WAVE * max(waves % 1, 0.05)]


def plan(items: list[Item], workers: int = 4, slots: int = 16) -> Plan:
    guesses = np.array([float(sum(item)) for item in items])
    return Plan(items, workers, slots, [1.0] * workers, guesses=guesses)


def simulated(given: Plan) -> Outcome:
    simulation = Simulation(given)
    outcome = simulation.run()
    assert what_is_wrong(simulation) == []
    return outcome


@pytest.mark.parametrize(
    "items",
    [
        [SHORT] * 1001,
        [SHORT] * 1000 + [HALF_HOUR],
        [SHORT] * 700 + [HALF_HOUR] + [SHORT] * 300,
        *(uneven(seed) for seed in range(10)),
    ],
)
def test_uneven_items_end_within_a_twentieth_of_the_ideal(items: list[Item]) -> None:
    given = plan(items)
    assert simulated(given).makespan <= 1.05 * given.ideal


@pytest.mark.parametrize("workers", [1, 5, 32])
@pytest.mark.parametrize("slots", [8, 128])
def test_from_twenty_batches_a_worker_on_hardly_a_place_stays_empty(workers: int, slots: int) -> None:
    chance = random.Random(workers * slots)
    for _ in range(3 if slots == 8 else 1):
        count = round(workers * slots * chance.uniform(20, 23)) + 1
        outcome = simulated(plan([SHORT] * count, workers, slots))
        assert outcome.filled / outcome.paid >= 0.95


@pytest.mark.parametrize("seed", range(12))
def test_in_fleets_drawn_at_random_nothing_is_lost_or_doubled(seed: int) -> None:
    given = draw(random.Random(seed), most_workers=24)
    outcome = simulated(given)
    assert outcome.idle <= 0.05 * outcome.paid


def done(task: Task) -> News:
    return News((), finished=task)


def three_at_work(tasks: list[Task]) -> Dispatcher:
    """Three workers that have asked for work."""
    dispatcher = Dispatcher(tasks, ahead=3)
    for worker in range(3):
        dispatcher.joined(worker)
    return dispatcher


def test_a_worker_gets_its_next_task_before_its_batch_is_empty_and_none_that_another_could_begin() -> None:
    tasks = [Task(Shard(index, 10 * index, 10)) for index in range(8)]
    dispatcher = Dispatcher(tasks, ahead=3)
    dispatcher.joined(0)
    dispatcher.expect(2)
    ((_, orders),) = dispatcher.orders()
    assert orders.line == (tasks[0],) and orders.low == 3
    dispatcher.came_back(0, News((Standing(tasks[0], 2, 1),)), 5.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.line == (tasks[0], tasks[1])
    dispatcher.expect(7)
    dispatcher.came_back(0, News((Standing(tasks[1], 2, 1),), finished=tasks[0]), 5.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.line == (tasks[1],) and orders.low == 0


def test_what_waits_at_a_busy_worker_goes_back_when_another_rests() -> None:
    tasks = [Task(Shard(0, 0, 4)), Task(Shard(1, 4, 4))]
    dispatcher = Dispatcher(tasks, ahead=3)
    dispatcher.joined(0)
    next(dispatcher.orders())
    line = (Standing(tasks[0], 0), Standing(tasks[1], 4))
    dispatcher.came_back(0, News(line[:1]), 1.0)
    assert dict(dispatcher.orders())[0].line == tuple(tasks)
    dispatcher.joined(1)
    assert list(dispatcher.orders()) == []
    dispatcher.came_back(0, News(line), 1.0)
    ((_, orders),) = [pair for pair in dispatcher.orders() if pair[0] == 0]
    assert orders.give_back == 4
    dispatcher.came_back(0, News(line[:1], given_back=(tasks[1],)), 0.0)
    assert [(worker, orders.line) for worker, orders in dispatcher.orders()] == [(1, (tasks[1],)), (0, (tasks[0],))]


def test_a_shard_is_split_when_workers_would_wait_for_it() -> None:
    task = Task(Shard(0, 0, 100))
    dispatcher = Dispatcher([task])
    dispatcher.joined(0)
    next(dispatcher.orders())
    dispatcher.joined(1)
    dispatcher.came_back(0, News((Standing(task, 90, 5),)), 5.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.give_back == 47  # Half of the 95 that are not done.
    mine, theirs = task.split(47)
    dispatcher.came_back(0, News((Standing(mine, 43, 5),), given_back=(theirs,)), 0.0)
    assert {worker: orders.line for worker, orders in dispatcher.orders()} == {0: (mine,), 1: (theirs,)}


def test_a_draining_worker_hands_over_what_it_has_not_begun_and_gets_nothing_more() -> None:
    tasks = [Task(Shard(index, 10 * index, 10)) for index in range(4)]
    dispatcher = three_at_work(tasks)
    assert {worker: orders.line for worker, orders in dispatcher.orders()} == {i: (tasks[i],) for i in range(3)}
    dispatcher.drain(1)
    dispatcher.came_back(1, News((Standing(tasks[1], 6, 1),)), 3.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.give_back == 6
    mine, theirs = tasks[1].split(6)
    dispatcher.came_back(1, News((Standing(mine, 0, 1),), given_back=(theirs,)), 0.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.line == (mine,) and orders.low == 0
    dispatcher.came_back(1, done(mine), 3.0)
    assert list(dispatcher.orders()) == [] and dispatcher.resting == [1]


def test_a_lost_machine_charges_nothing_and_a_crash_lets_the_shards_run_alone() -> None:
    tasks = [Task(Shard(index, 10 * index, 10)) for index in range(2)]
    for fault, line in ((None, (tasks[0], tasks[1])), (Fault("WorkerCrashed", "killed"), (tasks[0],))):
        dispatcher = Dispatcher(tasks, ahead=11)
        dispatcher.joined(0)
        ((_, orders),) = dispatcher.orders()
        assert orders.line == (tasks[0], tasks[1])
        assert dispatcher.died(0, fault) == "tried again"
        dispatcher.joined(1)
        ((_, orders),) = dispatcher.orders()
        assert orders.line == line


def test_workers_are_wanted_as_long_as_there_is_something_to_share() -> None:
    task = Task(Shard(0, 0, 100))
    dispatcher = Dispatcher([task])
    dispatcher.joined(0)
    assert dispatcher.useful_workers(LEAST_SHARE_SECONDS) == 100  # A row is taken for a second's work.
    next(dispatcher.orders())
    dispatcher.came_back(0, News((Standing(task, 60, 30),)), 3.0)
    assert dispatcher.useful_workers(LEAST_SHARE_SECONDS) == 6 and dispatcher.useful_workers(30.0) == 0
    dispatcher.came_back(0, News((Standing(task, 0, 90),)), 6.0)
    assert dispatcher.useful_workers(LEAST_SHARE_SECONDS) == 0


def test_when_asked_to_stop_shards_that_are_begun_in_parts_are_finished_and_others_not_begun() -> None:
    tasks = [Task(Shard(0, 0, 100)), Task(Shard(1, 100, 100))]
    dispatcher = Dispatcher(tasks)
    dispatcher.joined(0)
    next(dispatcher.orders())
    mine, theirs = tasks[0].split(40)
    dispatcher.came_back(0, News((Standing(mine, 50, 5),), given_back=(theirs,)), 5.0)
    dispatcher.stop()
    assert dispatcher.has_tasks
    assert dict(dispatcher.orders())[0].line == (mine,)
    dispatcher.joined(1)
    assert dict(dispatcher.orders())[1].line == (theirs,)
    dispatcher.came_back(0, done(mine), 1.0)
    assert list(dispatcher.orders()) == [] and not dispatcher.has_tasks


def test_rows_weigh_what_is_known_of_them_when_a_shard_is_split() -> None:
    weights = RowWeights(np.array([6.0, 1, 1, 1, 1, 1, 1]))
    task = Task(Shard(0, 0, 7))
    dispatcher = Dispatcher([task], weights)
    dispatcher.joined(0)
    next(dispatcher.orders())
    dispatcher.joined(1)
    dispatcher.came_back(0, News((Standing(task, 6, 0),)), 1.0)
    ((_, orders),) = dispatcher.orders()
    assert orders.give_back == 0  # How fast it is, is not known yet.
