"""One try at one shard: every item becomes a result, and a bad one does not stop the others."""

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from jobs.errors import JobError, StorageError, UnavailableError
from jobs.shard.host_pool import Handled, HostPool
from jobs.shard.item_writer import ItemWriter
from jobs.shard.items import ItemReader
from jobs.shard.prefetch import Prefetch
from jobs.shard.progress import ProgressReporter
from jobs.shard.task import Fault
from renderer.errors import RendererError
from renderer.rendering import Rendering, RenderRequest
from schemas.manifest import ManifestRow
from schemas.results import ItemResult

NO_ITEMS_FAULT = (StorageError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
"""What stops a shard rather than an item: the machine is at fault."""

OF_THE_PLACE = (OSError, UnavailableError)
"""What another node may have, or may read: a file, an object."""


class ShardAttempt:
    """What became of each item of a task so far; ``quarantined`` items fail untried.

    Who renders asks for one request after another, and gives back a rendering or an error for each. Renderings are
    written by threads beside. ``rows`` are in the manifest's order, and begun in that of ``order``, if it is given.
    """

    def __init__(
        self,
        rows: Sequence[ManifestRow],
        quarantined: Mapping[str, Fault],
        items: ItemReader,
        writer: ItemWriter,
        progress: ProgressReporter,
        order: Sequence[ManifestRow] | None = None,
    ) -> None:
        self._rows = list(rows)
        self._quarantined = quarantined
        self._items = items
        self._writer = writer
        self._progress = progress
        self._results: dict[str, ItemResult] = {}
        self._of_the_place: dict[str, str] = {}
        self._prefetch = Prefetch(items.performance, [row for row in order or rows if row.item_id not in quarantined])
        self._pool = HostPool(writer.write)

    @property
    def waiting(self) -> int:
        """How many items are not begun."""
        return len(self._prefetch)

    @property
    def done(self) -> int:
        """How many items have results."""
        return len(self._results)

    def give_back(self, count: int) -> list[str]:
        """The ids of the last ``count`` of the items that wait, which are others' from now on, in their order."""
        ids = [self._prefetch.take_back().item_id for _ in range(count)]
        self._rows = [row for row in self._rows if row.item_id not in set(ids)]
        return ids[::-1]

    def start(self) -> None:
        """Begin to read."""
        for row in self._rows:
            if fault := self._quarantined.get(row.item_id):
                self._failed(row.item_id, self._items.seed(row), fault.error_type, fault.message)
        self._prefetch.start()

    def next_request(self) -> RenderRequest | None:
        """What to render next, in the order of the rows; a row for which there is no request fails. None at the end."""
        while (read := self._prefetch.next()) is not None:
            row, performance = read
            try:
                request = self._items.request(row, performance.result())
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self.fail(row.item_id, self._items.seed(row), error)
            else:
                self._progress.began(self._writer.task, request)
                return request
        return None

    def add(self, rendering: Rendering) -> None:
        """Have a rendering written, as soon as there is room for it."""
        self._progress.rendered(rendering.item_id)
        self._keep(self._pool.add(rendering))

    def fail(self, item_id: str, seed: int, error: Exception) -> None:
        """Let an item fail, for a reason that was foreseen, or else with where it came from."""
        message = str(error)
        if any(isinstance(each, OF_THE_PLACE) for each in _causes(error)):
            self._of_the_place[item_id] = message
        if not isinstance(error, RendererError | JobError):
            place = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{message} (in {place.name}, {Path(place.filename).name} line {place.lineno})"
        self._failed(item_id, seed, type(error).__name__, message)

    def collect(self, wait: bool = False) -> bool:
        """Keep the results of what is written by now, or of all that was added; whether every item has one."""
        self._keep(self._pool.rest() if wait else self._pool.done())
        return len(self._results) == len(self._rows)

    @property
    def place_fault(self) -> str | None:
        """Why the first item failed, if all that were tried did for want of what another node may have."""
        tried = sum(row.item_id not in self._quarantined for row in self._rows)
        return next(iter(self._of_the_place.values())) if 0 < tried == len(self._of_the_place) else None

    def results(self, seconds: float) -> list[ItemResult]:
        """One result for each row, in their order; they share the ``seconds`` that all of them took."""
        samples = sum(result.samples or 0 for result in self._results.values())
        return [
            replace(result, render_seconds=seconds * result.samples / samples) if result.samples else result
            for result in (self._results[row.item_id] for row in self._rows)
        ]

    def close(self) -> None:
        """Drop what is under way."""
        self._prefetch.close()
        self._pool.close()
        self._progress.forget(self._writer.task)

    def _keep(self, handled: Iterable[Handled]) -> None:
        """Keep the results of items that are written, or the reasons why they are not."""
        for item in handled:
            try:
                self._set(item.result.result())
            except NO_ITEMS_FAULT:
                raise
            except Exception as error:
                self.fail(item.item_id, item.seed, error)

    def _failed(self, item_id: str, seed: int, error_type: str, message: str) -> None:
        self._set(self._writer.failed(item_id, seed, error_type, message))

    def _set(self, result: ItemResult) -> None:
        self._results[result.item_id] = result
        self._progress.ended(self._writer.task, result.item_id, result.status == "failed")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was made of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
