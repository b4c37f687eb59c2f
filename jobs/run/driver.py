"""The driver's loop: Ray calls the actors, :mod:`jobs.run.retries` says what follows when one dies."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray

from jobs.errors import JobError, PlaceError, StorageError
from jobs.run.actors import start_board
from jobs.run.display import Display
from jobs.run.fleet import Fleet
from jobs.run.heartbeat import Heartbeat
from jobs.run.metrics import RunMetrics
from jobs.run.places import Place
from jobs.run.retries import Retries, SlotHealth
from jobs.run_directory.events import EventLog
from jobs.run_directory.totals import Totals
from jobs.shard.attempt import NO_ITEMS_FAULT
from jobs.shard.progress import ShardProgress
from jobs.shard.shard_renderer import ShardWork
from jobs.shard.task import Fault, Task
from jobs.signals import StopSignals
from renderer.errors import RendererError
from schemas.checks import TableError

POLL_SECONDS = 0.5
NEVER_BEGAN = "error raised in its creation task"
"""How Ray says that an actor could not be made, as where this package is not installed: it never will be."""

BLIND_SECONDS = 30.0
"""After so long without news of any actor, it is the news that failed, not the actors."""


class Limits(NamedTuple):
    """When an actor is taken for hung, in seconds without progress, and how many items may fail."""

    item_timeout: float
    max_failures: int | None


@dataclass(eq=False)
class _Slot:
    """A place for an actor. Ray starts the actor anew when it dies; the handle stays."""

    actor: Any
    number: int
    health: SlotHealth = field(default_factory=SlotHealth)
    place: Place = field(default_factory=Place)


@dataclass(eq=False)
class _Call:
    """What a slot is doing: the task of a shard, or without one, starting and then loading its model.

    The ``following`` task is the slot's next; it may be begun already.
    """

    slot: _Slot
    task: Task | None = None
    following: Task | None = None
    is_loading: bool = False
    progress: ShardProgress | None = None
    last_progress: float = field(default_factory=time.monotonic)
    hung: bool = False


def _items_left(call: _Call) -> float:
    """How many items a call has yet to finish."""
    assert call.task is not None
    items = len(call.task.probe) or call.task.shard.row_count
    return max(0.0, items - (call.progress.items if call.progress else 0.0))


class Driver:
    """A ``ray.wait`` loop over plain actors, each with one call at a time, used as they become ready.

    Ray restarts an actor that died, but never repeats a call: what follows from a failure is decided here. Of
    the corpus the driver holds its plan and counters.
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
        fleet: Fleet | None = None,
    ) -> None:
        self._work, self._limits = work, limits
        self._totals, self._display, self._signals = totals, display, signals
        self._events, self._heartbeat = events, heartbeat
        self._fleet = fleet or Fleet(display, events)
        self._places = self._fleet.places
        self._metrics = RunMetrics(work.storage.uri)
        self._board = start_board()
        self._retries = Retries(())
        self._calls: dict[Any, _Call] = {}
        self._idle: list[_Slot] = []
        self._failed_before = totals.failed
        self._last_reading = time.monotonic()
        self._halted = False
        self._is_planned = False

    def run(self, tasks: Sequence[Task], actors: Sequence[Any]) -> None:
        """Work on tasks until all are done, a signal or an error stops it, or no slot is left."""
        self._retries = Retries(tasks)
        self._metrics.show(self._totals)
        for number, actor in enumerate(actors):
            self._start(_Slot(actor, number))
        reading = self._board.read.remote()
        while self._working():
            done, _ = ray.wait(list(self._calls), timeout=POLL_SECONDS)
            for reference in done:
                self._ended(reference)
            if ray.wait([reading], timeout=0)[0]:
                self._read(reading)
                reading = self._board.read.remote()
            self._keep_house()
        for call in self._calls.values():
            if not self._fleet.fault:  # A head that is lost cannot end anybody.
                ray.kill(call.slot.actor)

    def _working(self) -> bool:
        """Whether to wait on: while calls hold tasks, or if not asked to stop, will be given some."""
        in_flight = any(call.task is not None for call in self._calls.values())
        if self._signals.count >= 2 or self._fleet.fault:
            return False
        waiting = bool(self._retries) or bool(self._places)
        return in_flight or (not self._stopping() and waiting and bool(self._calls))

    def _stopping(self) -> bool:
        return self._halted or self._signals.count > 0

    def _halt(self, reason: str) -> None:
        if not self._halted:
            self._display.say(f"error: {reason}")
            self._events.add("halted", reason=reason)
        self._halted = True

    def _start(self, slot: _Slot) -> None:
        self._places.starts(slot.number)
        # Until the actor is up, which on a growing cluster takes minutes, Ray repeats this call without end.
        self._calls[slot.actor.ready.options(max_task_retries=-1).remote()] = _Call(slot)

    def _load(self, slot: _Slot, place: Place) -> None:
        slot.place = place
        self._places.loads(slot.number)
        self._calls[slot.actor.load.remote(self._work, self._board)] = _Call(slot, is_loading=True)

    def _give_next(self, slot: _Slot, begun: Task | None = None) -> None:
        """Give an actor the task that it has begun, or the next; one for which there is none waits for others'."""
        task = None if self._stopping() else begun or self._places.next(slot.place, self._retries)
        if task is None:
            self._idle.append(slot)
            return
        others = sum(call.following is None for call in self._calls.values())
        following = self._places.following(task, others, slot.place, self._retries)
        reference = slot.actor.render_shard.remote(self._work, self._board, task, following)
        self._calls[reference] = _Call(slot, task, following)

    def _wake(self) -> None:
        """Give work to those that wait, if there is some for them."""
        idle, self._idle = self._idle, []
        for slot in idle:
            self._give_next(slot)

    def _ended(self, reference: Any) -> None:
        call = self._calls.pop(reference)
        try:
            result = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # The call raised; its actor lives.
            self._raised(call, error)
        except ray.exceptions.RayError as error:  # The actor died; Ray is starting it anew.
            if call.task is None and NEVER_BEGAN in str(error):
                self._give_up(call.slot, f"it cannot begin: {str(error).strip().splitlines()[-1]}")
            else:
                self._died(call, str(error).strip().splitlines()[0])
        else:
            self._succeeded(call, result)

    def _succeeded(self, call: _Call, result: Any) -> None:
        slot = call.slot
        if call.task is None and not call.is_loading:
            self._load(slot, result)
            return
        if call.task is None:
            self._places.settles(slot.number, slot.place)
            slot.health.loaded()
            if result and not self._is_planned:
                self._display.say(f"{self._work.run.settings.precision}, {result}")
                self._is_planned = True
            self._display.begin()
            self._events.add("actor_ready", actor=slot.number, node=str(slot.place), plan=result)
        elif result.is_empty:
            for task in (call.following, call.task):
                if task is not None:
                    self._places.put_back(task)
            self._start(slot)
            return
        else:
            slot.health.succeeded()
            self._retries.ended(call.task)
            if result.dropped:
                self._events.add(
                    "shard_dropped", shard=call.following and call.following.shard.index, reason=result.dropped
                )
            if result.marker is not None:
                self._finished(slot, result.marker)
                self._blame(call.task, slot.place, result.marker.items - result.marker.failed)
        self._give_next(slot, call.following)

    def _finished(self, slot: _Slot, marker: Any) -> None:
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
        )
        self._fleet.tally.finished(slot.place, marker)
        limit, failed = self._limits.max_failures, self._totals.failed - self._failed_before
        if limit is not None and failed >= limit:
            self._halt(f"{failed:,} items failed, --max-failures is {limit:,}")

    def _raised(self, call: _Call, error: Any) -> None:
        cause = error.cause
        if isinstance(cause, JobError | TableError):
            self._refused(call, cause)
            return
        text = str(cause) if isinstance(cause, RendererError) else str(error)
        if call.task is None:
            self._give_up(call.slot, f"it cannot load the model: {text}")
        elif isinstance(cause, NO_ITEMS_FAULT):  # What has run out of memory may not be fit for more.
            ray.kill(call.slot.actor, no_restart=False)
            self._died(call, f"{type(cause).__name__}: {cause}".splitlines()[0])
        else:
            self._display.say(f"error: shard {call.task.shard.index}: {text}")
            self._events.add("shard_failed", shard=call.task.shard.index, reason=text.splitlines()[-1])
            self._retries.failed(call.task)
            self._places.dropped(call.task)
            self._give_next(call.slot, call.following)

    def _refused(self, call: _Call, cause: JobError | TableError) -> None:
        """What is wrong with a place ends the work there; with storage or manifest, every other shard's as well."""
        slot, task = call.slot, call.task
        if task is not None and task.elsewhere and isinstance(cause, PlaceError | StorageError):
            self._fleet.suspect(slot.place, task, str(cause))
            self._give_next(slot, call.following)
        elif task is None and self._places.several:
            self._give_up(slot, str(cause))
        else:
            self._halt(str(cause))

    def _died(self, call: _Call, reason: str) -> None:
        """Only the call in flight is charged with its worker's death."""
        slot, task, where = call.slot, call.task, self._fleet.at(call.slot.place)
        self._places.leaves(slot.number)
        self._fleet.tally.died(slot.place)
        if task is not None:
            if call.hung:
                reason = f"no progress for {self._limits.item_timeout:g} s"
            fault = Fault("TimedOut" if call.hung else "WorkerCrashed", reason)
            verdict = self._retries.died(task, fault, call.following)
            begun = None if call.following is None else call.following.shard.index
            of_two = "" if begun is None else f", with shard {begun} begun"
            part = f", {len(task.probe)} of its items alone" if task.probe else of_two
            self._display.say(f"shard {task.shard.index}{part}: its worker died{where}: {reason}; {verdict}")
            self._events.add(
                "actor_died",
                actor=slot.number,
                node=str(slot.place),
                shard=task.shard.index,
                begun=begun,
                reason=reason,
                probe=task.probe,
                then=verdict,
            )
        else:
            self._events.add("actor_died", actor=slot.number, node=str(slot.place), reason=reason)
        if slot.health.died(call.is_loading):
            self._give_up(slot, f"it died {slot.health.deaths} times in a row: {reason}")
        else:
            self._start(slot)

    def _give_up(self, slot: _Slot, reason: str) -> None:
        where = self._fleet.at(slot.place)
        who = f"workers{where} are" if where else f"worker {slot.number} is"
        self._fleet.say_once(f"error: {who} given up: {reason}")
        self._events.add("slot_given_up", actor=slot.number, node=str(slot.place), reason=reason)
        self._places.leaves(slot.number)
        ray.kill(slot.actor)

    def _blame(self, task: Task, place: Place, rendered: int) -> None:
        """A task is over: give up the places that lack, time and again, what others have."""
        blamed = self._places.ended(task, place, rendered)
        for slot in [slot for slot in self._idle if slot.place in blamed]:
            self._idle.remove(slot)
            self._give_up(slot, "time and again it lacks what other nodes have")

    def _read(self, reading: Any) -> None:
        """Show the actors' progress, and end the calls that make none."""
        now = time.monotonic()
        try:
            latest: Sequence[ShardProgress] = ray.get(reading)
        except ray.exceptions.RayError:  # A run does not end because its progress cannot be read.
            return
        by_shard = {progress.shard: progress for progress in latest}
        was_blind = now - self._last_reading > BLIND_SECONDS or self._heartbeat.silent_seconds > 0
        self._last_reading = now
        for call in self._calls.values():
            if call.task is None:
                continue
            progress = by_shard.get(call.task.shard.index, call.progress)
            if was_blind or progress != call.progress:
                call.progress, call.last_progress = progress, now
            elif now - call.last_progress > self._limits.item_timeout and not call.hung:
                call.hung = True
                ray.kill(call.slot.actor, no_restart=False)
        self._show()

    def _show(self) -> None:
        calls = [call for call in self._calls.values() if call.task is not None]
        # What is rendered a second time is among the totals already.
        under_way = [call.progress for call in calls if call.progress and call.task and not call.task.generation]
        self._display.show(
            self._totals.items + sum(progress.items for progress in under_way),
            self._totals.audio_seconds + sum(progress.audio_seconds for progress in under_way),
            self._totals.failed + sum(progress.failed for progress in under_way),
            len(calls),
            max((_items_left(call) for call in calls), default=0.0) if self._stopping() else None,
            self._heartbeat.silent_seconds,
        )

    def _in_flight(self) -> dict[int, float]:
        """The shards that are under way, and how many of their items are done."""
        calls = [call for call in self._calls.values() if call.task is not None]
        return {call.task.shard.index: call.progress.items if call.progress else 0.0 for call in calls if call.task}

    def _keep_house(self) -> None:
        self._wake()
        self._fleet.listen(self._board)
        calls = [call for call in self._calls.values() if call.progress]
        self._fleet.tell_now_and_then((call.slot.place, call.progress) for call in calls if call.progress)
        if fault := self._fleet.fault:
            self._halt(fault)
        try:
            self._heartbeat.beat(self._in_flight())
        except JobError as error:
            self._halt(str(error))
