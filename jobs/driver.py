"""The driver's loop: which actor renders which shard, and what follows when one fails."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import ray

from jobs.actors import ProgressBoard, RenderActor, ShardWork
from jobs.attempt import ShardProgress
from jobs.errors import JobError
from jobs.report import Display, Totals
from jobs.signals import StopSignals
from renderer.errors import RendererError
from schemas.checks import TableError
from schemas.run import Shard

POLL_SECONDS = 0.5
LOAD_ATTEMPTS = 60


class _Call(NamedTuple):
    """What an actor is doing: rendering a shard, or (None) loading its model."""

    actor: Any
    shard: Shard | None
    attempt: int = 1


def start_actors(work: ShardWork, actors: int) -> list[Any]:
    """Ask Ray for the actors, which may take a while to come up; on GPUs, each has one of its own."""
    kind = ray.remote(RenderActor).options(
        num_cpus=work.run.threads,
        num_gpus=1 if work.run.settings.device == "cuda" else 0,
        max_restarts=-1,
        max_task_retries=0,
    )
    return [kind.remote() for _ in range(actors)]


class Driver:
    """A ``ray.wait`` loop over plain actors, each with one shard at a time.

    Ray restarts an actor that died, but never repeats a call: what follows from a failure is decided here.
    """

    def __init__(self, work: ShardWork, totals: Totals, display: Display, signals: StopSignals) -> None:
        self._work = work
        self._board: Any = ray.remote(ProgressBoard).options(num_cpus=0, max_restarts=-1).remote()
        self._totals, self._display, self._signals = totals, display, signals
        self._pending: deque[Shard] = deque()
        self._calls: dict[Any, _Call] = {}
        self._progress: dict[int, ShardProgress] = {}
        self._halted = False

    def run(self, shards: Sequence[Shard], actors: Sequence[Any]) -> None:
        """Render shards until all are done, a signal or an error stops it, or no actor is left."""
        self._pending.extend(shards)
        for actor in actors:
            self._load(actor)
        reading = self._board.read.remote()
        while self._working():
            done, _ = ray.wait(list(self._calls), timeout=POLL_SECONDS)
            for reference in done:
                self._ended(reference)
            if ray.wait([reading], timeout=0)[0]:
                self._show(reading)
                reading = self._board.read.remote()
        for call in self._calls.values():
            ray.kill(call.actor)

    def _working(self) -> bool:
        """Whether to wait on: for every call, or once asked to stop, for those that hold a shard."""
        if self._signals.count >= 2:
            return False
        if self._stopping():
            return any(call.shard is not None for call in self._calls.values())
        return bool(self._calls)

    def _stopping(self) -> bool:
        return self._halted or self._signals.count > 0

    def _load(self, actor: Any, attempt: int = 1) -> None:
        self._calls[actor.load.remote(self._work)] = _Call(actor, None, attempt)

    def _give_next(self, actor: Any) -> None:
        if self._pending and not self._stopping():
            shard = self._pending.popleft()
            self._calls[actor.render_shard.remote(self._work, shard, self._board)] = _Call(actor, shard)

    def _ended(self, reference: Any) -> None:
        call = self._calls.pop(reference)
        if call.shard is not None:
            self._progress.pop(call.shard.index, None)
        try:
            marker = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # The call raised; its actor lives.
            self._failed(call.shard, error)
            if call.shard is not None:
                self._give_next(call.actor)
        except ray.exceptions.RayError as error:  # The actor died; Ray is starting it anew.
            self._died(call, error)
        else:
            if call.shard is None:
                self._display.begin()
            else:
                self._totals.add(marker)
            self._give_next(call.actor)

    def _died(self, call: _Call, error: Exception) -> None:
        reason = str(error).strip().splitlines()[0]
        if call.shard is not None:
            self._display.say(f"error: shard {call.shard.index}: its worker died: {reason}")
            self._load(call.actor)
        elif call.attempt < LOAD_ATTEMPTS:  # Until the actor is up again, Ray refuses calls at once.
            time.sleep(POLL_SECONDS)
            self._load(call.actor, call.attempt + 1)
        else:
            self._display.say(f"error: a worker cannot be started: {reason}")

    def _failed(self, shard: Shard | None, error: Any) -> None:
        cause = error.cause
        expected = isinstance(cause, JobError | TableError | RendererError)
        where = "a worker cannot load the model" if shard is None else f"shard {shard.index}"
        self._display.say(f"error: {where}: {cause if expected else error}")
        # Storage or manifest: every other shard would fail as well.
        self._halted |= isinstance(cause, JobError | TableError)

    def _show(self, reading: Any) -> None:
        try:
            latest: Sequence[ShardProgress] = ray.get(reading)
        except ray.exceptions.RayError:  # A run does not end because its progress cannot be read.
            return
        in_flight = {call.shard.index for call in self._calls.values() if call.shard is not None}
        self._progress.update({progress.shard: progress for progress in latest if progress.shard in in_flight})
        under_way = self._progress.values()
        self._display.show(
            self._totals.items + sum(progress.items for progress in under_way),
            self._totals.audio_seconds + sum(progress.audio_seconds for progress in under_way),
            self._totals.failed + sum(progress.failed for progress in under_way),
        )
