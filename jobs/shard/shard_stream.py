"""Shards through one renderer, one after the other without a break."""

from collections import deque
from collections.abc import Iterator

from jobs.option import common_values
from jobs.shard.attempt import NO_ITEMS_FAULT, ShardAttempt
from jobs.shard.backend import CorpusRenderer
from jobs.shard.progress import Progress
from renderer.decoding.sampling import Sampling
from renderer.rendering import Rendering, RenderRequest
from schemas.run import RunSettings


class ShardStream:
    """The requests of the shards in line, as an iterator, and where their renderings go.

    While the last items of a shard are under way, those of the next take the places in the batch that become free.
    Where rendering fails, what was under way is rendered again, each item alone: so the one at fault is found.
    """

    def __init__(self, renderer: CorpusRenderer, settings: RunSettings, progress: Progress) -> None:
        self._renderer = renderer
        self._sampling = Sampling(**common_values(Sampling, settings))
        self._tail = settings.tail
        self._progress = progress
        self._line: deque[tuple[ShardAttempt, Iterator[RenderRequest]]] = deque()
        self._under_way: dict[str, tuple[ShardAttempt, RenderRequest]] = {}
        self._suspects: deque[tuple[ShardAttempt, RenderRequest]] = deque()
        self._is_alone = False
        self._steps: Iterator[list[Rendering]] | None = None

    def add(self, attempt: ShardAttempt) -> None:
        """Put a shard at the end of the line."""
        self._line.append((attempt, attempt.requests()))

    def clear(self) -> None:
        """Drop all that is in line or under way."""
        self._steps = None
        self._line.clear()
        self._suspects.clear()
        self._under_way.clear()

    def step(self) -> bool:
        """Let the renderer do one step; False if there is nothing to render.

        What is finished goes to its shard. Raises what is no item's fault.
        """
        if self._steps is None:
            self._steps = self._renderer.steps(
                self, sampling=self._sampling, tail=self._tail, progress=self._progress.generated
            )
        try:
            finished = next(self._steps, None)
        except NO_ITEMS_FAULT:
            raise
        except Exception as error:
            self._failed(error)
            return True
        if finished is None:
            assert not self._under_way, f"the renderer ended without {', '.join(self._under_way)}"
            self._steps = None
            return bool(self._line or self._suspects)
        for rendering in finished:
            attempt, _ = self._under_way.pop(rendering.item_id)
            attempt.add(rendering)
        return True

    def __iter__(self) -> "ShardStream":
        return self

    def __next__(self) -> RenderRequest:
        """The next request that there is now."""
        if self._under_way and (self._is_alone or self._suspects):
            raise StopIteration
        self._is_alone = bool(self._suspects)
        if self._suspects:
            return self._begin(*self._suspects.popleft())
        while self._line:
            attempt, requests = self._line[0]
            if (request := next(requests, None)) is not None:
                return self._begin(attempt, request)
            self._line.popleft()
        raise StopIteration

    def _begin(self, attempt: ShardAttempt, request: RenderRequest) -> RenderRequest:
        self._under_way[request.item_id] = (attempt, request)
        return request

    def _failed(self, error: Exception) -> None:
        """One of the items under way is at fault, nobody knows which; a single one is."""
        under_way = list(self._under_way.values())
        self._steps = None
        self._under_way.clear()
        self._progress.abandoned()
        match under_way:
            case []:
                raise error
            case [(attempt, request)]:
                attempt.fail(request.item_id, request.seed, error)
            case _:
                self._suspects.extend(under_way)
