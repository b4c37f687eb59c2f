"""How far shards are, as an actor tells its driver now and then."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from renderer.rendering import RenderRequest

SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class ShardProgress:
    """How far a shard is: items (with fractions for those under way), seconds of audio, failed items."""

    shard: int
    items: float
    audio_seconds: float
    failed: int


Report = Callable[[ShardProgress], None]


@dataclass(eq=False)
class _ShardCount:
    """What a shard has of results; ``reported`` is the most items that were ever reported of it."""

    items: int = 0
    audio_seconds: float = 0.0
    failed: int = 0
    reported: float = 0.0


@dataclass(eq=False)
class _Begun:
    """An item of a shard without a result, and the seconds of audio that it will have."""

    shard: int
    seconds: float
    is_rendered: bool = False


class ProgressReporter:
    """Reports on the shards that a worker renders; ``generated`` says how far the renderer is with items under way."""

    def __init__(self, report: Report, generated: Callable[[], Mapping[str, float]]) -> None:
        self._report, self._generated = report, generated
        self._shards: defaultdict[int, _ShardCount] = defaultdict(_ShardCount)
        self._begun: dict[str, _Begun] = {}
        self._last_report = time.monotonic()

    def began(self, shard: int, request: RenderRequest) -> None:
        """An item is under way."""
        self._begun[request.item_id] = _Begun(shard, request.duration)

    def rendered(self, item_id: str) -> None:
        """All of an item's audio is there; it is yet to be written."""
        if begun := self._begun.get(item_id):
            begun.is_rendered = True

    def ended(self, shard: int, item_id: str, failed: bool) -> None:
        """An item has its result."""
        begun, count = self._begun.pop(item_id, None), self._shards[shard]
        count.items += 1
        count.failed += failed
        count.audio_seconds += 0.0 if failed or begun is None else begun.seconds
        self.report_now_and_then()

    def forget(self, shard: int) -> None:
        """A shard is finished, or dropped."""
        self._shards.pop(shard, None)
        self._begun = {item_id: begun for item_id, begun in self._begun.items() if begun.shard != shard}

    def report_now_and_then(self) -> None:
        """Report, if it is time to."""
        now = time.monotonic()
        if now - self._last_report < SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = now
        items: defaultdict[int, float] = defaultdict(float)
        seconds: defaultdict[int, float] = defaultdict(float)
        generated = self._generated()
        for item_id, begun in self._begun.items():
            done = begun.seconds if begun.is_rendered else min(generated.get(item_id, 0.0), begun.seconds)
            items[begun.shard] += done / begun.seconds if begun.seconds else 0.0
            seconds[begun.shard] += done
        for shard in {*self._shards, *items}:
            count = self._shards[shard]
            count.reported = max(count.reported, count.items + items[shard])
            self._report(ShardProgress(shard, count.reported, count.audio_seconds + seconds[shard], count.failed))
