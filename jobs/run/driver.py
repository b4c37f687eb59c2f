"""The driver's loop: Ray calls the actors, :mod:`jobs.run.dispatcher` says which of them does what."""

import time
from typing import Any, NamedTuple

import ray

from jobs.errors import JobError
from jobs.run.actors import start_board
from jobs.run.agreement import Agreement
from jobs.run.dispatcher import Dispatcher
from jobs.run.display import Display
from jobs.run.drain_watch import DrainWatch
from jobs.run.fleet import Fleet
from jobs.run.heartbeat import Heartbeat
from jobs.run.metrics import RunMetrics
from jobs.run.pace import LEAST_SHARE_SECONDS
from jobs.run.progress_watch import ProgressWatch
from jobs.run.setbacks import Setbacks
from jobs.run.workers import Call, Slot, Workers
from jobs.run_directory.events import EventLog
from jobs.run_directory.totals import Totals
from jobs.shard.orders import News
from jobs.shard.shard_renderer import ShardWork
from jobs.signals import StopSignals

POLL_SECONDS = 0.5
STARTING_SECONDS = 30.0
"""A further actor is wanted if there is so much work for it: about so long it takes until it renders."""


class Limits(NamedTuple):
    """When an actor is taken for hung, in seconds without progress, and how many items may fail."""

    item_timeout: float
    max_failures: int | None


class Driver:
    """Carries out what a :class:`Dispatcher` decides, tells the run's folder and its user, and replaces what dies.

    Of the corpus the driver holds its plan and counters.
    """

    def __init__(
        self,
        work: ShardWork,
        totals: Totals,
        display: Display,
        signals: StopSignals,
        events: EventLog,
        heartbeat: Heartbeat,
        limits: Limits,
        dispatcher: Dispatcher,
        actors: int,
        fleet: Fleet | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        self._work, self._limits = work, limits
        self._totals, self._display, self._signals = totals, display, signals
        self._events, self._heartbeat = events, heartbeat
        self._metrics = RunMetrics(work.storage.uri)
        self._board = start_board()
        self._fleet = fleet or Fleet(display, events)
        self._places = self._fleet.places
        self._dispatcher, self._workers = dispatcher, Workers(work, self._board, actors, agreement)
        self._watch = ProgressWatch(dispatcher, self._workers, totals, display, heartbeat, limits.item_timeout)
        self._setbacks = Setbacks(
            dispatcher, self._workers, self._fleet, display, events, limits.item_timeout, self._start, self._halt
        )
        self._failed_before = totals.failed
        self._notices = DrainWatch()
        self._halted = False
        self._is_planned = False

    def run(self) -> None:
        """Work until all tasks are done, a signal or an error stops it, or no slot is left."""
        self._metrics.show(self._totals)
        for slot in self._workers.slots:
            self._start(slot)
        reading = self._board.read.remote()
        while self._working():
            for call, reference in self._workers.ended(POLL_SECONDS):
                self._ended(call, reference)
            self._give_orders()  # First, as who has come back is not shown to be at work.
            if ray.wait([reading], timeout=0)[0]:
                self._watch.read(reading)
                self._watch.show(self._stopping())
                reading = self._board.read.remote()
            self._keep_house()
        if not self._fleet.fault:  # A head that is lost cannot end anybody.
            self._workers.end_all()

    def _working(self) -> bool:
        """Whether to wait on: while calls hold tasks, or if not asked to stop, will be given some."""
        if self._signals.count >= 2 or self._fleet.fault:
            return False
        calls = self._workers.calls
        if any(call.orders is not None for call in calls):
            return True
        return not self._stopping() and self._dispatcher.has_tasks and bool(calls)

    def _stopping(self) -> bool:
        return self._halted or self._signals.count > 0

    def _halt(self, reason: str) -> None:
        if not self._halted:
            self._display.say(f"error: {reason}")
            self._events.add("halted", reason=reason)
        self._halted = True

    def _give_orders(self) -> None:
        """Give work to whom has none, let go whom there is none for, and ask for more where there is."""
        if self._stopping():
            self._dispatcher.stop()
        self._dispatcher.expect(sum(call.orders is None for call in self._workers.calls))
        for number, orders in self._dispatcher.orders():
            slot, first = self._workers.slots[number], orders.line[0].key
            if first != slot.first_task:
                slot.first_task, slot.last_progress = first, time.monotonic()
            self._workers.work(slot, orders)
        useful, starting = self._dispatcher.useful_workers(LEAST_SHARE_SECONDS), self._workers.starting
        for number in self._dispatcher.resting:
            if self._dispatcher.is_draining(number) or not useful:
                self._dispatcher.gone(number)
                self._end(self._workers.slots[number], "it has nothing to do")
        for slot in starting[useful:]:
            self._end(slot, "it would have nothing to do")
        if self._workers.unused and not self._stopping():
            wanted = self._dispatcher.useful_workers(STARTING_SECONDS) - len(starting)
            for slot in self._workers.unused[: max(wanted, 0)]:
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        self._places.starts(slot.number)
        self._workers.start(slot)

    def _end(self, slot: Slot, reason: str) -> None:
        self._events.add("actor_ended", actor=slot.number, node=str(slot.place), reason=reason)
        self._places.leaves(slot.number)
        self._workers.end(slot)

    def _ended(self, call: Call, reference: Any) -> None:
        try:
            result = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._setbacks.ended_badly(call, error)
        else:
            self._succeeded(call, result)

    def _succeeded(self, call: Call, result: Any) -> None:
        slot = call.slot
        if call.orders is not None:
            self._came_back(call, result)
        elif call.is_loading:
            self._loaded(slot, result)
        else:
            slot.place = result
            self._places.loads(slot.number)
            self._workers.load(slot)

    def _loaded(self, slot: Slot, plan: str) -> None:
        slot.health.loaded()
        slot.is_hung, slot.first_task = False, None
        if plan and not self._is_planned:
            self._display.say(f"{self._work.run.settings.precision}, {plan}")
            self._is_planned = True
        self._display.begin()
        self._events.add("actor_ready", actor=slot.number, node=str(slot.place), plan=plan)
        self._places.settles(slot.number, slot.place)
        self._dispatcher.joined(slot.number, slot.place)

    def _came_back(self, call: Call, news: News) -> None:
        slot, task = call.slot, news.finished
        line = self._dispatcher.line(slot.number)
        self._dispatcher.came_back(slot.number, news, call.seconds)
        if task is not None:
            slot.health.succeeded()
            slot.first_task = None
        if news.dropped:
            begun = next((other.shard.index for other in line if other != task), None)
            self._events.add("shard_dropped", shard=begun, reason=news.dropped)
        if news.part is not None and task is not None:
            seconds = round(news.part.audio_seconds, 3)
            where = {"actor": slot.number, "node": str(slot.place)}
            self._events.add("part_finished", shard=task.shard.index, audio_seconds=seconds, **where)
            self._setbacks.blame(slot.place, task, len(news.part.rows) - news.part.failed)
        if news.marker is not None and task is not None:
            self._finished(slot, news.marker, len(task.parts))
            self._setbacks.blame(slot.place, task, news.marker.items - news.marker.failed)

    def _finished(self, slot: Slot, marker: Any, parts: int) -> None:
        self._totals.add(marker)
        self._metrics.show(self._totals)
        self._events.add(
            "shard_finished",
            shard=marker.shard,
            generation=marker.generation,
            actor=slot.number,
            node=str(slot.place),
            items=marker.items,
            failed=marker.failed,
            failures={reason: failure.count for reason, failure in marker.failures.items()},
            audio_seconds=round(marker.audio_seconds, 3),
            render_seconds=round(marker.render_seconds, 3),
            occupancy=marker.occupancy and round(marker.occupancy, 4),
            batch_size=marker.batch_size,
            parts=parts,
        )
        self._fleet.tally.finished(slot.place, marker)
        limit, failed = self._limits.max_failures, self._totals.failed - self._failed_before
        if limit is not None and failed >= limit:
            self._halt(f"{failed:,} items failed, --max-failures is {limit:,}")

    def _keep_house(self) -> None:
        self._fleet.listen(self._board)
        self._fleet.tell_now_and_then(self._watch.at_places)
        if fault := self._fleet.fault:
            self._halt(fault)
        try:
            self._heartbeat.beat(self._watch.in_flight)
        except JobError as error:
            self._halt(str(error))
        self._heed_notices()

    def _heed_notices(self) -> None:
        """Give nothing new to workers whose machines will be gone soon."""
        draining = self._notices.nodes
        for slot in self._workers.slots:
            is_there = slot.place.node in draining and self._dispatcher.has(slot.number)
            if is_there and not self._dispatcher.is_draining(slot.number):
                self._dispatcher.drain(slot.number)
                self._display.say(f"worker {slot.number}: its machine will be gone soon; it begins nothing new")
                self._events.add("actor_draining", actor=slot.number, node=str(slot.place))
