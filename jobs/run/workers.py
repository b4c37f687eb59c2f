"""The places of actors on a cluster, and the calls that are under way."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ray

from jobs.run.actors import start_actor
from jobs.run.agreement import Agreement
from jobs.run.places import Place
from jobs.run.retries import SlotHealth
from jobs.shard.orders import Orders
from jobs.shard.progress import ShardProgress, TaskKey
from jobs.shard.shard_renderer import ShardWork


@dataclass(eq=False)
class Slot:
    """A place for an actor. Ray starts the actor anew when it dies; the handle stays.

    Without an actor the place is not wanted, or given up. ``progress`` is of what it has in line, and ``last_progress``
    the time from which its next is waited for.
    """

    number: int
    actor: Any = None
    place: Place = field(default_factory=Place)
    health: SlotHealth = field(default_factory=SlotHealth)
    is_given_up: bool = False
    is_hung: bool = False
    first_task: TaskKey | None = None
    progress: dict[TaskKey, ShardProgress] = field(default_factory=dict)
    last_progress: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Call:
    """What a slot is doing: carrying out orders, or without any, starting and then loading its model."""

    slot: Slot
    orders: Orders | None = None
    is_loading: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self.began


class Workers:
    """Plain actors, each with one call at a time, used as they become ready.

    With an ``agreement``, each works only where all is as at the driver. Ray restarts an actor that died, but never
    repeats a call.
    """

    def __init__(self, work: ShardWork, board: Any, count: int, agreement: Agreement | None = None) -> None:
        self._work, self._board, self._agreement = work, board, agreement
        self.slots = [Slot(number) for number in range(count)]
        self._calls: dict[Any, Call] = {}

    @property
    def calls(self) -> list[Call]:
        """What is under way."""
        return list(self._calls.values())

    @property
    def starting(self) -> list[Slot]:
        """The slots whose actors are asked for, and not there yet."""
        return [call.slot for call in self._calls.values() if call.orders is None and not call.is_loading]

    @property
    def unused(self) -> list[Slot]:
        """The slots that could have an actor."""
        return [slot for slot in self.slots if slot.actor is None and not slot.is_given_up]

    def start(self, slot: Slot) -> None:
        """Ask for an actor, or wait for the one that Ray is starting anew."""
        if slot.actor is None:
            slot.actor = start_actor(self._work, self._agreement)
        # Until the actor is up, which on a growing cluster takes minutes, Ray repeats this call without end.
        self._calls[slot.actor.ready.options(max_task_retries=-1).remote()] = Call(slot)

    def load(self, slot: Slot) -> None:
        """Let an actor load its model."""
        self._calls[slot.actor.load.remote(self._work, self._board)] = Call(slot, is_loading=True)

    def work(self, slot: Slot, orders: Orders) -> None:
        """Let an actor carry out orders."""
        self._calls[slot.actor.work.remote(self._work, self._board, orders)] = Call(slot, orders)

    def ended(self, seconds: float) -> Iterator[tuple[Call, Any]]:
        """The calls that end within so many seconds, or have, each with its reference."""
        done, _ = ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        for reference in done:
            yield self._calls.pop(reference), reference

    def restart(self, slot: Slot) -> None:
        """End an actor whose place is still wanted."""
        ray.kill(slot.actor, no_restart=False)

    def end(self, slot: Slot) -> None:
        """End an actor, or ask for it no longer: its place and its GPU are free for others."""
        self._calls = {reference: call for reference, call in self._calls.items() if call.slot is not slot}
        ray.kill(slot.actor)
        slot.actor, slot.place = None, Place()

    def end_all(self) -> None:
        """End what is under way."""
        for call in self.calls:
            ray.kill(call.slot.actor)


def is_gone(node: str) -> bool:
    """Whether a node was there, and is not any more."""
    return any(found["NodeID"] == node and not found["Alive"] for found in ray.nodes())
