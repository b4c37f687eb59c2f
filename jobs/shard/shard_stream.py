"""What a worker does all day: items into the renderer, renderings out of it, shard after shard without a break."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from jobs.option import common_values
from jobs.shard.attempt import NO_ITEMS_FAULT, ShardAttempt
from jobs.shard.backend import CorpusRenderer
from jobs.shard.progress import ProgressReporter
from renderer.decoding.sampling import Sampling
from renderer.rendering import RenderRequest
from schemas.run import RunSettings


class _Item(NamedTuple):
    attempt: ShardAttempt
    request: RenderRequest


class ShardStream:
    """The shards in line, and which of their items are in the renderer.

    While the last items of a shard are under way, those of the next take the places in the batch that become free.
    Where rendering fails, what was under way is rendered again, each item alone: so the one at fault is found.
    """

    def __init__(self, renderer: CorpusRenderer, settings: RunSettings, progress: ProgressReporter) -> None:
        self._renderer = renderer
        self._sampling = Sampling(**common_values(Sampling, settings))
        self._progress = progress
        self._attempts: list[ShardAttempt] = []
        self._under_way: dict[str, _Item] = {}
        self._suspects: deque[_Item] = deque()
        self._is_alone = False

    def render(self, is_over: Callable[[], bool]) -> None:
        """Render the shards in line until something is over, or nothing is left to begin or to end.

        Raises what is no item's fault.
        """
        while not is_over():
            try:
                while self._renderer.room and (item := self._next()) is not None:
                    self._under_way[item.request.item_id] = item
                    self._renderer.add(item.request)
                finished = self._renderer.step(self._sampling)
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self._failed(error)
                continue
            if not finished and self._renderer.is_idle:
                assert not self._under_way, f"the renderer ended without {', '.join(self._under_way)}"
                return
            for rendering in finished:
                self._under_way.pop(rendering.item_id).attempt.add(rendering)
            self._progress.report_now_and_then()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way and not self._suspects

    def add(self, attempt: ShardAttempt) -> None:
        """Put a shard at the end of the line."""
        self._attempts.append(attempt)
        attempt.start()

    def remove(self, attempt: ShardAttempt) -> None:
        """Take a shard that is over out of the line."""
        self._attempts.remove(attempt)

    def clear(self) -> None:
        """Drop all that is in line or under way."""
        self._renderer.clear()
        self._attempts.clear()
        self._suspects.clear()
        self._under_way.clear()

    def _next(self) -> _Item | None:
        """The item to begin now, of the first shard that has one; a suspect is alone until it ends."""
        if self._under_way and (self._is_alone or self._suspects):
            return None
        self._is_alone = bool(self._suspects)
        if self._suspects:
            return self._suspects.popleft()
        for attempt in self._attempts:
            if (request := attempt.next_request()) is not None:
                return _Item(attempt, request)
        return None

    def _failed(self, error: Exception) -> None:
        """One of the items under way is at fault, nobody knows which; a single one is."""
        under_way = list(self._under_way.values())
        self._renderer.clear()
        self._under_way.clear()
        match under_way:
            case []:
                raise error
            case [item]:
                item.attempt.fail(item.request.item_id, item.request.seed, error)
            case _:
                self._suspects.extend(under_way)
