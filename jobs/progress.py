"""How far shards are, as an actor tells its driver now and then."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

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
    """A shard's items and seconds of audio."""

    items: int = 0
    audio_seconds: float = 0.0
    failed: int = 0
    under_way: dict[str, float] = field(default_factory=dict)
    told: float = 0.0


class Progress:
    """Adds up what a renderer tells of the shards that it is at work on."""

    def __init__(self, tail: float, report: Report) -> None:
        self._tail, self._report = tail, report
        self._shards: defaultdict[int, _Count] = defaultdict(_Count)
        self._generated = 0.0
        self._last_report = time.monotonic()

    def began(self, shard: int, request: RenderRequest) -> None:
        """An item is under way."""
        self._shards[shard].under_way[request.item_id] = request.performance.notes.end + self._tail

    def generated(self, seconds: float) -> None:
        """So much audio was generated, of whichever items are under way."""
        self._generated += seconds
        self._tell()

    def ended(self, shard: int, item_id: str, failed: bool) -> None:
        """An item has its result."""
        count = self._shards[shard]
        seconds = count.under_way.pop(item_id, 0.0)
        count.items += 1
        count.failed += failed
        count.audio_seconds += 0.0 if failed else seconds
        self._generated = max(0.0, self._generated - seconds)
        self._tell()

    def abandoned(self) -> None:
        """What is under way begins anew."""
        self._generated = 0.0

    def forget(self, shard: int) -> None:
        """A shard is finished, or dropped."""
        self._shards.pop(shard, None)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._last_report < SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = now
        expected = sum(sum(count.under_way.values()) for count in self._shards.values())
        # More is generated than asked for, as segments overlap.
        share = min(1.0, self._generated / expected) if expected else 0.0
        for shard, count in self._shards.items():
            count.told = max(count.told, count.items + share * len(count.under_way))
            seconds = count.audio_seconds + share * sum(count.under_way.values())
            self._report(ShardProgress(shard, count.told, seconds, count.failed))
