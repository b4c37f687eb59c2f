"""The nodes that a run has: where its workers are, how they do, what they warn of, and whether the head still lives."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import ray

from jobs.cluster_head import HeadWatch
from jobs.run.display import Display
from jobs.run.node_tally import NodeTally
from jobs.run.places import Place, Places
from jobs.run.workplace import Notes
from jobs.run_directory.events import EventLog
from jobs.shard.progress import ShardProgress
from jobs.shard.task import Task

SECONDS_BETWEEN_NOTES = 2.0


class Fleet:
    """What a driver knows of the nodes, and tells of them.

    On one machine, not ``several``, no node is named. Every ``status_seconds`` a line tells of each node; 0 for never.
    """

    def __init__(
        self,
        display: Display,
        events: EventLog,
        several: bool = False,
        status_seconds: float = 0.0,
        head: HeadWatch | None = None,
    ) -> None:
        self.places, self.tally = Places(several, time.monotonic), NodeTally()
        self._display, self._events = display, events
        self._head = head or HeadWatch()
        self._status_seconds = status_seconds if several else 0.0
        self._reported = self._listened = time.monotonic()
        self._notes: Any = None
        self._said: set[str] = set()

    @property
    def fault(self) -> str:
        """Why the run cannot go on; empty if it can."""
        return self._head.fault

    def at(self, place: Place) -> str:
        """Where something was, to be put behind it; empty where there is but one place."""
        return f" on {place}" if self.places.several and place.host else ""

    def say_once(self, text: str) -> None:
        """Say what several workers of a node may find, but once."""
        if text not in self._said:
            self._said.add(text)
            self._display.say(text)

    def suspect(self, place: Place, task: Task, reason: str) -> None:
        """A task cannot be done at a place: it is to be tried at another."""
        self.places.failed(place, task)
        self._events.add("place_suspected", node=str(place), shard=task.shard.index, reason=reason)
        self.say_once(f"warning: shard {task.shard.index} is tried elsewhere than on {place}: {reason}")

    def listen(self, board: Any) -> None:
        """Hear, now and then, what workers have noted on the board; returns at once."""
        now = time.monotonic()
        if self._notes is None and now - self._listened >= SECONDS_BETWEEN_NOTES:
            self._notes, self._listened = board.read_notes.remote(), now
        if self._notes is None or not ray.wait([self._notes], timeout=0)[0]:
            return
        reading, self._notes = self._notes, None
        try:
            notes: Notes = ray.get(reading)
        except ray.exceptions.RayError:  # They are no reason for a run to end.
            return
        self._hear(notes)

    def tell_now_and_then(self, under_way: Iterable[tuple[Place, ShardProgress]]) -> None:
        """Tell of each node, if it is time to."""
        seconds = time.monotonic() - self._reported
        if not self._status_seconds or seconds < self._status_seconds:
            return
        self._reported = time.monotonic()
        for line in self.tally.lines(Counter(self.places.of_workers), under_way, seconds):
            self._display.say(line)

    def _hear(self, notes: Notes) -> None:
        for vitals in notes.vitals:
            self.tally.felt(vitals)
        for place, text in notes.warnings:
            self._events.add("worker_warning", node=str(place), text=text)
            self.say_once(f"warning: a worker{self.at(place)} says: {text}")
