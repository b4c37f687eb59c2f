"""What runs on a cluster: workers that render shards, and the board on which they say how far they are."""

from dataclasses import replace
from typing import Any, NamedTuple

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.shard.progress import ShardProgress
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from schemas.marker import Marker


class Outcome(NamedTuple):
    """What came of a call.

    ``marker`` has no objects, which a driver has no need of; it is None if nothing was committed. ``dropped`` is the
    traceback of what failed of the following shard, which has to begin anew; empty if nothing did.
    """

    marker: Marker | None = None
    dropped: str = ""


class RenderActor:
    """A :class:`ShardRenderer` as a Ray actor. Ray starts it anew when it dies, and then it is empty again."""

    def __init__(self) -> None:
        self._shards: ShardRenderer | None = None

    def ready(self) -> None:
        """Do nothing: a call that comes back as soon as there is an actor, and may be repeated."""

    def load(self, work: ShardWork, board: Any) -> str:
        """Load the model, in a call of its own, so that its errors arrive as they are; see ``ShardRenderer.plan``.

        ``board`` is a :class:`ProgressBoard`'s handle.
        """

        def report(progress: ShardProgress) -> None:
            board.report.remote(progress)

        torch.set_num_threads(work.run.threads)
        self._shards = ShardRenderer(work, report)
        return self._shards.plan

    def render_shard(self, work: ShardWork, board: Any, task: Task, following: Task | None) -> Outcome:
        """Render, write and commit one shard, or try a part of one; and begin the ``following``, if there is one."""
        if self._shards is None:
            self.load(work, board)
        assert self._shards is not None
        if task.probe:
            self._shards.probe(task)
            return Outcome()
        marker = self._shards.render(task, following)
        return Outcome(replace(marker, objects=()), self._shards.dropped)


class ProgressBoard:
    """Where actors say how far they are, as a Ray actor of its own.

    So progress flows while a call is under way, yet the renderer keeps its worker's main thread, to which
    compiled code and CUDA graphs are bound; and a worker that dies takes nobody's progress with it.
    """

    def __init__(self) -> None:
        self._latest: dict[int, ShardProgress] = {}

    def report(self, progress: ShardProgress) -> None:
        """Keep a shard's latest progress."""
        self._latest[progress.shard] = progress

    def read(self) -> tuple[ShardProgress, ...]:
        """The latest progress of every shard that reported since the last call."""
        latest = tuple(self._latest.values())
        self._latest.clear()
        return latest


def start_actors(work: ShardWork, actors: int) -> list[Any]:
    """Ask Ray for all actors at once, so that a cluster grows; on GPUs, each has one of its own."""
    kind = ray.remote(RenderActor).options(
        num_cpus=work.run.threads,
        num_gpus=1 if work.run.settings.device == "cuda" else 0,
        max_restarts=-1,
        max_task_retries=0,
    )
    return [kind.remote() for _ in range(actors)]


def start_board() -> Any:
    """The progress board, on the driver's own node: no other is sure to stay."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(ProgressBoard).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
