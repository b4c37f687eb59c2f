"""Fleets drawn at random, of up to 512 GPUs, whose workers die, drain and are slow, with the run's own policy.

``python -m tests.jobs.fleet_simulation 1000`` draws so many and tells what came of them; it exits with 1 if a row was
lost or rendered into two markers. There is no model, no Ray and no clock:
:class:`jobs.run.dispatcher.Dispatcher` gives orders to workers that only know how long each row takes.
"""

import math
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from jobs.run.dispatcher import Dispatcher, rows_ahead
from jobs.run.pace import LEAST_SHARE_SECONDS
from jobs.run.plan import plan_shards
from jobs.run.row_weights import RowWeights
from jobs.shard.orders import News
from jobs.shard.task import Fault
from tests.jobs.support.simulated_worker import Item, SimulatedWorker

SEGMENT_SECONDS = 4.5
"""What a full segment takes in a slot of a batch."""

NOTICE_SECONDS = 120.0
LOADING_SECONDS = 30.0
REPLACING_SECONDS = 90.0
ROUND_TRIP = 0.01
MUCH_IDLE = 0.05
"""Fleets that idle for a larger share of the time paid for are named."""


@dataclass(frozen=True)
class Plan:
    """A fleet and what it has to do: the seconds of each row's segments, when whose machine dies, who is slow.

    A death may be announced some seconds before. ``killers`` are rows of which workers die. ``guesses`` are what is
    known of the rows beforehand, if anything is.
    """

    items: list[Item]
    workers: int
    slots: int
    slowness: list[float]
    deaths: list[tuple[float, int, float]] = field(default_factory=list)
    killers: frozenset[int] = frozenset()
    guesses: NDArray[np.float64] | None = None
    shard_items: int | None = None

    @property
    def work(self) -> float:
        """Seconds of one slot."""
        return sum(sum(item) for item in self.items)

    @property
    def longest(self) -> float:
        """What the longest row takes, that has a batch to itself, on the slowest machine."""
        return max(max(max(item), sum(item) / self.slots) for item in self.items) * max(self.slowness)

    @property
    def ideal(self) -> float:
        """The time in which it cannot be done faster."""
        return max(self.work / self.slots / sum(1 / slowness for slowness in self.slowness), self.longest)

    @property
    def is_calm(self) -> bool:
        """Whether nothing happens to anybody."""
        return not self.deaths and not self.killers and max(self.slowness) == 1.0


@dataclass
class Outcome:
    """What came of a fleet: the seconds ``paid`` for, in which workers were held, and the ``idle`` ones among them.

    ``filled`` is how long its places in the batch were in use, on average; ``redone`` what deaths cost of that.
    """

    makespan: float = 0.0
    paid: float = 0.0
    idle: float = 0.0
    filled: float = 0.0
    redone: float = 0.0
    deaths: int = 0
    parts: int = 0
    markers: Counter[int] = field(default_factory=Counter)


class Simulation:
    """One fleet, from its first event to the last."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.shards = plan_shards(len(plan.items), plan.workers, plan.shard_items, plan.slots)
        weights = RowWeights(plan.guesses)
        self._dispatcher = Dispatcher(weights.longest_first(self.shards), weights, rows_ahead(plan.slots))
        self._events: list[tuple[float, int, Callable[[int, News | None], None], int, News | None]] = []
        self._up: dict[int, SimulatedWorker] = {}
        self._since: dict[int, float] = {}
        self._calls: dict[int, tuple[int, float]] = {}
        self._number = 0
        self.outcome = Outcome()
        self.now = 0.0

    def run(self) -> Outcome:
        """Let all happen, until every shard has a marker, or nothing happens any more."""
        for worker in range(self._plan.workers):
            self._at(0.0, self._joined, worker)
        for when, worker, notice in self._plan.deaths:
            if notice:
                self._at(max(when - notice, 0.0), self._warned, worker)
            self._at(when, self._died, worker)
        while self._events and len(self.outcome.markers) < len(self.shards):
            self.now, number, happens, worker, news = heappop(self._events)
            if news is None or self._calls.get(worker, (0, 0.0))[0] == number:  # Else it died meanwhile.
                happens(worker, news)
                self._give_orders()
        for worker in list(self._up):
            self._pay(worker)
        self.outcome.makespan = self.now
        return self.outcome

    def _at(
        self, when: float, happens: Callable[[int, News | None], None], worker: int, news: News | None = None
    ) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, happens, worker, news))

    def _give_orders(self) -> None:
        for worker, orders in self._dispatcher.orders():
            simulated = self._up[worker]
            simulated.time = self.now
            news = simulated.work(orders)
            then = self._killed if simulated.died else self._came_back
            self._at(simulated.time + ROUND_TRIP, then, worker, news)
            self._calls[worker] = self._number, self.now
        resting = self._dispatcher.resting
        is_useful = not resting or self._dispatcher.useful_workers(LEAST_SHARE_SECONDS) > 0
        for worker in resting:
            if self._dispatcher.is_draining(worker) or not is_useful:
                self._dispatcher.gone(worker)
                self._pay(worker)

    def _joined(self, worker: int, news: News | None) -> None:
        if worker in self._up or not self._dispatcher.useful_workers(LOADING_SECONDS):
            return
        plan = self._plan
        self._up[worker] = SimulatedWorker(plan.items, plan.slots, plan.slowness[worker], plan.killers)
        self._since[worker] = self.now
        self._dispatcher.joined(worker)

    def _came_back(self, worker: int, news: News | None) -> None:
        assert news is not None
        self._dispatcher.came_back(worker, news, self.now - self._calls.pop(worker)[1])
        if news.marker is not None:
            self.outcome.markers[news.marker.shard] += 1
        self.outcome.parts += news.part is not None

    def _warned(self, worker: int, news: News | None) -> None:
        if worker in self._up:
            self._dispatcher.drain(worker)

    def _died(self, worker: int, news: News | None) -> None:
        if worker in self._up:
            self._lose(worker, None)

    def _killed(self, worker: int, news: News | None) -> None:
        self._lose(worker, Fault("WorkerCrashed", "killed"))

    def _lose(self, worker: int, fault: Fault | None) -> None:
        self.outcome.deaths += 1
        self.outcome.redone += self._up[worker].begun / self._plan.slots
        self._dispatcher.died(worker, fault)
        self._pay(worker)

    def _pay(self, worker: int) -> None:
        """A worker's machine is given back, or lost; another one is there some time later, if it is wanted."""
        simulated, seconds = self._up.pop(worker), self.now - self._since[worker]
        self._calls.pop(worker, None)
        self.outcome.paid += seconds
        self.outcome.idle += max(seconds - simulated.busy, 0.0)
        self.outcome.filled += simulated.filled / simulated.slots
        self._at(self.now + (LOADING_SECONDS if simulated.died else REPLACING_SECONDS), self._joined, worker)


def draw(chance: random.Random, most_workers: int = 512) -> Plan:
    """A fleet of 1 to 512 workers with more than twenty batches of work for each, as it may come."""
    workers, slots = round(2 ** chance.uniform(0, math.log2(most_workers))), chance.choice((4, 8, 16))
    count = round(workers * slots * chance.uniform(20, 30))
    spread = chance.choice((0.0, 0.5, 1.0))
    items = [_item(SEGMENT_SECONDS * chance.lognormvariate(0.0, spread)) for _ in range(count)]
    seconds = np.array([sum(item) for item in items])
    guesses = chance.choice((None, seconds, seconds * np.random.default_rng(count).lognormal(0.0, 0.5, count)))
    span = float(seconds.sum()) / workers / slots
    slow = chance.choice((0.0, 0.0, 0.1))
    risk = chance.choice((0.0, 0.05, 0.5))
    deaths = [
        (chance.uniform(0.0, span), worker, chance.choice((0.0, NOTICE_SECONDS)))
        for worker in range(workers)
        if chance.random() < risk
    ]
    killers = chance.sample(range(count), chance.choice((0, 0, 0, 2)))
    return Plan(
        items=items,
        workers=workers,
        slots=slots,
        slowness=[3.0 if chance.random() < slow else 1.0 for _ in range(workers)],
        deaths=deaths,
        killers=frozenset(killers),
        guesses=guesses,
        shard_items=chance.choice((None, None, 7, 100)),
    )


def _item(seconds: float) -> Item:
    """An item of full segments and a rest."""
    full = int(min(seconds, 120 * SEGMENT_SECONDS) / SEGMENT_SECONDS)
    return [SEGMENT_SECONDS] * full + [max(seconds - full * SEGMENT_SECONDS, 0.1)]


def what_is_wrong(simulation: Simulation) -> list[str]:
    """What must never be."""
    found = []
    markers, shards = simulation.outcome.markers, simulation.shards
    if lost := len(shards) - len(markers):
        found.append(f"{lost} shards are lost")
    if doubled := sum(count > 1 for count in markers.values()):
        found.append(f"{doubled} shards are finished twice")
    return found


def main(fleets: int, first: int = 0) -> int:
    """Draw so many fleets and tell what came of them; 1 if anything went wrong."""
    bad, began = 0, time.monotonic()
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for seed in range(first, first + fleets):
        plan = draw(random.Random(seed))
        simulation = Simulation(plan)
        outcome = simulation.run()
        wrong = what_is_wrong(simulation)
        bad += bool(wrong)
        kind = "calm" if plan.is_calm else "others"
        figures[f"idle of paid time, {kind}"].append(outcome.idle / outcome.paid)
        figures[f"batch places in use, {kind}"].append(outcome.filled / outcome.paid)
        if plan.is_calm:
            figures["time beside the ideal"].append(outcome.makespan / plan.ideal)
        if outcome.deaths:
            figures["GPU seconds lost by a death"].append(outcome.redone / outcome.deaths)
        figures["deaths"].append(outcome.deaths)
        figures["parts"].append(outcome.parts)
        if outcome.idle > MUCH_IDLE * outcome.paid:
            wrong.append(f"idle for {outcome.idle / outcome.paid:.1%} of {outcome.paid:.0f} s paid for")
        if wrong:
            print(f"fleet {seed} ({plan.workers} workers, {len(plan.items)} rows): {'; '.join(wrong)}", flush=True)
    print(f"{fleets - bad} of {fleets} fleets ok, in {time.monotonic() - began:.0f} s")
    for name, values in sorted(figures.items()):
        low, high = np.percentile(values, (5, 95))
        print(
            f"{name}: {len(values)} fleets, mean {np.mean(values):.4g}, 5 % below {low:.4g}, 5 % above {high:.4g}, "
            f"least {min(values):.4g}, most {max(values):.4g}, sum {sum(values):.6g}"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
