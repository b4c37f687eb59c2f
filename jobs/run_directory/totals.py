"""A run's finished shards, added up from their markers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.marker import SHOWN_IDS, FailureCount, MarkerSummary


@dataclass
class Totals:
    """The finished shards, added up."""

    shards: dict[int, int] = field(default_factory=dict)
    """The generation of each finished shard's marker."""

    items: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    render_seconds: float = 0.0
    good: int = 0
    poor: int = 0
    _faults: Counter[str] = field(default_factory=Counter)
    _measured_seconds: float = 0.0
    _filled_seconds: float = 0.0
    _with_failures: dict[int, MarkerSummary] = field(default_factory=dict)

    def add(self, marker: MarkerSummary) -> None:
        """Count one more finished shard; a later generation counts in place of the one before."""
        before = self.shards.get(marker.shard)
        if before == marker.generation:
            return
        if before is not None:
            self._count(self._with_failures.pop(marker.shard), -1)
        self.shards[marker.shard] = marker.generation
        self._count(marker, 1)
        if marker.failures:
            self._with_failures[marker.shard] = marker.summary()

    @property
    def shards_with_failures(self) -> Sequence[int]:
        """The finished shards of which items failed."""
        return sorted(self._with_failures)

    @property
    def failures(self) -> dict[str, FailureCount]:
        """Failed items by reason, with the first of them."""
        summed: dict[str, FailureCount] = {}
        for shard in self.shards_with_failures:
            for reason, failure in self._with_failures[shard].failures.items():
                before = summed.get(reason, FailureCount(0, ()))
                ids = (*before.item_ids, *failure.item_ids)[:SHOWN_IDS]
                summed[reason] = FailureCount(before.count + failure.count, ids)
        return summed

    @property
    def faults(self) -> list[tuple[str, int]]:
        """How many poor items have which fault, the most frequent first; an item may have several."""
        return [(name, count) for name, count in self._faults.most_common() if count]

    @property
    def occupancy(self) -> float | None:
        """The share of the decode batch's steps that served an item; None if nothing was rendered."""
        return self._filled_seconds / self._measured_seconds if self._measured_seconds > 0 else None

    def _count(self, marker: MarkerSummary, sign: int) -> None:
        self.items += sign * marker.items
        self.failed += sign * marker.failed
        self.audio_seconds += sign * marker.audio_seconds
        self.render_seconds += sign * marker.render_seconds
        if marker.occupancy is not None:
            self._measured_seconds += sign * marker.render_seconds
            self._filled_seconds += sign * marker.render_seconds * marker.occupancy
        if marker.quality is not None:
            self.good += sign * marker.quality.good
            self.poor += sign * marker.quality.poor
            for name, count in marker.quality.faults.items():
                self._faults[name] += sign * count
