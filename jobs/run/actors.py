"""What runs on a cluster: workers that render shards, and the board on which they say how far they are."""

from dataclasses import replace
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.run.agreement import Agreement
from jobs.run.places import Place
from jobs.run.workplace import Notes, Vitals, VitalsReporter, here, tell_warnings
from jobs.shard.orders import News, Orders
from jobs.shard.progress import ShardProgress, TaskKey
from jobs.shard.shard_renderer import ShardRenderer, ShardWork


class RenderActor:
    """A :class:`ShardRenderer` as a Ray actor. Ray starts it anew when it dies, and then it is empty again.

    With an ``agreement``, it works only where code, versions and model are its driver's.
    """

    def __init__(self, agreement: Agreement | None = None) -> None:
        self._agreement = agreement
        self._place = Place()
        self._shards: ShardRenderer | None = None

    def ready(self) -> Place:
        """Where it is: a call that comes back as soon as there is an actor, and may be repeated."""
        self._place = here()
        return self._place

    def load(self, work: ShardWork, board: Any) -> str:
        """Load the model, in a call of its own, so that its errors arrive as they are; see ``ShardRenderer.plan``.

        ``board`` is a :class:`ProgressBoard`'s handle. JobError if the run cannot be worked on here.
        """
        return self._begin(work, board).plan

    def work(self, work: ShardWork, board: Any, orders: Orders) -> News:
        """Carry out orders; of a marker's objects the driver has no need."""
        news = (self._shards or self._begin(work, board)).work(orders)
        return replace(news, marker=news.marker and replace(news.marker, objects=()))

    def _begin(self, work: ShardWork, board: Any) -> ShardRenderer:
        vitals = VitalsReporter(self._place, board.feel.remote)

        def report(progress: ShardProgress) -> None:
            board.report.remote(progress)
            vitals.report_now_and_then()

        tell_warnings(lambda text: board.warn.remote(self._place, text))
        if self._agreement is not None:
            self._agreement.check(work.run, work.backend, work.storage)
        torch.set_num_threads(work.run.threads)
        self._shards = ShardRenderer(work, report)
        return self._shards


class ProgressBoard:
    """Where actors say how far they are, as a Ray actor of its own.

    So progress flows while a call is under way, yet the renderer keeps its worker's main thread, to which
    compiled code and CUDA graphs are bound; and a worker that dies takes nobody's progress with it.
    """

    def __init__(self) -> None:
        self._latest: dict[TaskKey, ShardProgress] = {}
        self._vitals: dict[Place, Vitals] = {}
        self._warnings: dict[tuple[Place, str], bool] = {}

    def report(self, progress: ShardProgress) -> None:
        """Keep a task's latest progress."""
        self._latest[progress.task] = progress

    def read(self) -> tuple[ShardProgress, ...]:
        """The latest progress of every task that reported since the last call."""
        latest = tuple(self._latest.values())
        self._latest.clear()
        return latest

    def feel(self, vitals: Vitals) -> None:
        """Keep how a place does."""
        self._vitals[vitals.place] = vitals

    def warn(self, place: Place, text: str) -> None:
        """Keep a warning, once for every place."""
        self._warnings.setdefault((place, text), True)

    def read_notes(self) -> Notes:
        """What was noted since the last call."""
        notes = Notes(tuple(self._vitals.values()), tuple(note for note, is_new in self._warnings.items() if is_new))
        self._vitals.clear()
        self._warnings = dict.fromkeys(self._warnings, False)
        return notes


def start_actor(work: ShardWork, agreement: Agreement | None = None) -> Any:
    """Ask Ray for an actor: what is asked for makes a cluster grow. On GPUs, each has one of its own."""
    kind = ray.remote(RenderActor).options(
        num_cpus=work.run.threads,
        num_gpus=1 if work.run.settings.device == "cuda" else 0,
        max_restarts=-1,
        max_task_retries=0,
    )
    return kind.remote(agreement)


def start_board() -> Any:
    """The progress board, on the driver's own node: no other is sure to stay."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(ProgressBoard).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
