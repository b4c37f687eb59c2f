"""What follows when a call ends badly: what is tried again, who is given up, and what ends the run."""

from collections.abc import Callable, Sequence
from typing import Any

import ray

from jobs.errors import JobError, PlaceError, StorageError
from jobs.run.dispatcher import Dispatcher
from jobs.run.display import Display
from jobs.run.fleet import Fleet
from jobs.run.places import Place
from jobs.run.workers import Call, Slot, Workers, is_gone
from jobs.run_directory.events import EventLog
from jobs.shard.attempt import NO_ITEMS_FAULT
from jobs.shard.task import Fault, Task
from renderer.errors import RendererError
from schemas.checks import TableError

NEVER_BEGAN = "error raised in its creation task"
"""How Ray says that an actor could not be made, as where this package is not installed: it never will be."""


class Setbacks:
    """Carries out what a :class:`Dispatcher` says of tasks whose worker died or raised, and tells of it.

    A worker without progress for ``item_timeout`` seconds was ended by the driver. ``start`` asks for a slot's worker
    anew, ``halt`` ends the run with a reason.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        workers: Workers,
        fleet: Fleet,
        display: Display,
        events: EventLog,
        item_timeout: float,
        start: Callable[[Slot], object],
        halt: Callable[[str], object],
    ) -> None:
        self._dispatcher, self._workers = dispatcher, workers
        self._fleet, self._places = fleet, fleet.places
        self._display, self._events = display, events
        self._item_timeout, self._start, self._halt = item_timeout, start, halt

    def ended_badly(self, call: Call, error: Any) -> None:
        """A call ended with an error of Ray's: of what it raised, or of its actor's death."""
        if isinstance(error, ray.exceptions.RayTaskError):  # The call raised; its actor lives.
            self._raised(call, error)
        elif call.orders is None and NEVER_BEGAN in str(error):
            self._give_up(call.slot, f"it cannot begin: {str(error).strip().splitlines()[-1]}")
        else:  # The actor died; Ray is starting it anew.
            self._died(call, str(error).strip().splitlines()[0])

    def blame(self, place: Place, task: Task, rendered: int) -> None:
        """A task is over: give up the places that lack, time and again, what others have."""
        blamed = self._places.ended(place, task, rendered)
        for number in self._dispatcher.resting:
            if self._workers.slots[number].place in blamed:
                self._dispatcher.gone(number)
                self._give_up(self._workers.slots[number], "time and again it lacks what other nodes have")

    def _raised(self, call: Call, error: Any) -> None:
        cause, slot = error.cause, call.slot
        if isinstance(cause, JobError | TableError):
            self._refused(call, cause)
            return
        text = str(cause) if isinstance(cause, RendererError) else str(error)
        if call.orders is None:
            self._give_up(slot, f"it cannot load the model: {text}")
        elif isinstance(cause, NO_ITEMS_FAULT):  # What has run out of memory may not be fit for more.
            self._workers.restart(slot)
            self._died(call, f"{type(cause).__name__}: {cause}".splitlines()[0])
        else:
            shard = self._dispatcher.line(slot.number)[0].shard.index
            self._display.say(f"error: shard {shard}: {text}")
            self._events.add("shard_failed", shard=shard, reason=text.splitlines()[-1])
            self._places.dropped(self._dispatcher.line(slot.number)[0])
            self._dispatcher.raised(slot.number)

    def _refused(self, call: Call, cause: JobError | TableError) -> None:
        """What is wrong with a place ends the work there; with storage or manifest, every other shard's as well."""
        slot = call.slot
        first = None if call.orders is None else self._dispatcher.line(slot.number)[0]
        if first is not None and first.elsewhere and isinstance(cause, PlaceError | StorageError):
            self._fleet.suspect(slot.place, first, str(cause))
            self._dispatcher.refused(slot.number)
        elif first is None and self._places.several:
            self._give_up(slot, str(cause))
        else:
            self._halt(str(cause))
            if first is not None:
                self._dispatcher.gone(slot.number)

    def _died(self, call: Call, reason: str) -> None:
        """Only what its worker had in line is charged with a death, and nothing if the machine is gone."""
        slot = call.slot
        is_lost = is_gone(slot.place.node)
        self._places.leaves(slot.number)
        self._fleet.tally.died(slot.place)
        if call.orders is None:
            self._events.add("actor_died", actor=slot.number, node=str(slot.place), reason=reason)
        elif is_lost or self._dispatcher.is_draining(slot.number):
            shards = sorted({task.shard.index for task in self._dispatcher.line(slot.number)})
            self._dispatcher.died(slot.number, None)
            which, where = ", ".join(map(str, shards)), self._fleet.at(slot.place)
            self._display.say(f"shard {which}: its worker died{where}: its machine is gone; tried again")
            where_it_was = {"actor": slot.number, "node": str(slot.place), "shards": shards}
            self._events.add("actor_died", reason=reason, then="tried again", **where_it_was)
        else:
            self._charge(slot, reason)
        if not is_lost and slot.health.died(call.is_loading):
            self._give_up(slot, f"it died {slot.health.deaths} times in a row: {reason}")
        else:
            self._start(slot)

    def _charge(self, slot: Slot, reason: str) -> None:
        """What a worker died of is tried again, in another way."""
        task, *begun = self._dispatcher.line(slot.number)
        if slot.is_hung:
            reason = f"no progress for {self._item_timeout:g} s"
        verdict = self._dispatcher.died(slot.number, Fault("TimedOut" if slot.is_hung else "WorkerCrashed", reason))
        part = f", {len(task.probe)} of its items alone" if task.probe else _with(begun)
        where = self._fleet.at(slot.place)
        self._display.say(f"shard {task.shard.index}{part}: its worker died{where}: {reason}; {verdict}")
        self._events.add(
            "actor_died",
            actor=slot.number,
            node=str(slot.place),
            shard=task.shard.index,
            begun=begun[0].shard.index if begun else None,
            reason=reason,
            probe=task.probe,
            then=verdict,
        )

    def _give_up(self, slot: Slot, reason: str) -> None:
        where = self._fleet.at(slot.place)
        who = f"workers{where} are" if where else f"worker {slot.number} is"
        self._fleet.say_once(f"error: {who} given up: {reason}")
        self._events.add("slot_given_up", actor=slot.number, node=str(slot.place), reason=reason)
        self._places.leaves(slot.number)
        slot.is_given_up = True
        self._workers.end(slot)


def _with(begun: Sequence[Task]) -> str:
    """What a worker had in line beside the first."""
    return f", with shard {', '.join(str(task.shard.index) for task in begun)} begun" if begun else ""
