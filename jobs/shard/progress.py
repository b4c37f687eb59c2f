"""How far shards are, as an actor tells its driver now and then."""

import time
from collections import defaultdict
from collections.abc import Callable
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
class _Count:
    """What a shard has of results; ``told`` is the most items that were ever told of it."""

    items: int = 0
    audio_seconds: float = 0.0
    failed: int = 0
    told: float = 0.0


@dataclass(eq=False)
class _UnderWay:
    """An item of a shard, with the seconds of audio that it will have, and has so far."""

    shard: int
    seconds: float
    generated: float = 0.0


class Progress:
    """Adds up what a renderer tells of the items of the shards that it is at work on."""

    def __init__(self, tail: float, report: Report) -> None:
        self._tail, self._report = tail, report
        self._shards: defaultdict[int, _Count] = defaultdict(_Count)
        self._items: dict[str, _UnderWay] = {}
        self._last_report = time.monotonic()

    def began(self, shard: int, request: RenderRequest) -> None:
        """An item is under way."""
        self._items[request.item_id] = _UnderWay(shard, request.performance.notes.end + self._tail)

    def generated(self, item_id: str, seconds: float) -> None:
        """So much of an item's audio was generated."""
        if item := self._items.get(item_id):
            item.generated += seconds
        self._tell()

    def ended(self, shard: int, item_id: str, failed: bool) -> None:
        """An item has its result."""
        item, count = self._items.pop(item_id, None), self._shards[shard]
        count.items += 1
        count.failed += failed
        count.audio_seconds += 0.0 if failed or item is None else item.seconds
        self._tell()

    def abandoned(self) -> None:
        """What is under way begins anew."""
        for item in self._items.values():
            item.generated = 0.0

    def forget(self, shard: int) -> None:
        """A shard is finished, or dropped."""
        self._shards.pop(shard, None)
        self._items = {item_id: item for item_id, item in self._items.items() if item.shard != shard}

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._last_report < SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = now
        items: defaultdict[int, float] = defaultdict(float)
        seconds: defaultdict[int, float] = defaultdict(float)
        for item in self._items.values():
            generated = min(item.generated, item.seconds)  # A segment may be generated more than once.
            items[item.shard] += generated / item.seconds if item.seconds else 0.0
            seconds[item.shard] += generated
        for shard in {*self._shards, *items}:
            count = self._shards[shard]
            count.told = max(count.told, count.items + items[shard])
            self._report(ShardProgress(shard, count.told, count.audio_seconds + seconds[shard], count.failed))
