"""The commit marker: written last, it makes a shard's results final and names the objects they are in."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

SHOWN_IDS = 3


class MarkerError(Exception):
    """A marker that cannot be read."""


@dataclass(frozen=True)
class StoredObject:
    """An object of the run directory: its key, its size, and its SHA-256."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FailureCount:
    """How many items failed for one reason, and the first of them."""

    count: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class QualityCount:
    """How many items are good and how many poor, and how many have which fault; an item may have several."""

    good: int
    poor: int
    faults: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class MarkerSummary:
    """A finished shard, without the objects that its audio is in. ``attempt`` is unique to what finished it.

    ``generation`` counts how often its failed items have been rendered again; the newest marker holds, and
    names what it keeps of the earlier ones' objects. ``occupancy`` is the share of the decode batch's steps that
    served an item, ``batch_size`` how large the batch was at the end: smaller than before where memory ran out.
    ``quality`` is None where an older version has measured none.
    """

    shard: int
    attempt: str
    items: int
    failures: Mapping[str, FailureCount]
    audio_seconds: float
    render_seconds: float
    metadata: StoredObject
    generation: int = 0
    occupancy: float | None = None
    batch_size: int | None = None
    quality: QualityCount | None = None

    @property
    def failed(self) -> int:
        """How many of the items failed."""
        return sum(failure.count for failure in self.failures.values())

    def summary(self) -> "MarkerSummary":
        """The same without its objects."""
        return MarkerSummary(**{field.name: getattr(self, field.name) for field in fields(MarkerSummary)})

    def to_json(self) -> bytes:
        """As it is stored."""
        values = asdict(self)
        return (json.dumps({name: values[name] for name in _STORED if name in values}) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read it, from a whole marker too; MarkerError if it is not one."""
        try:
            return cls(**cls._values(json.loads(data)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MarkerError(f"not a commit marker: {error}") from None

    @classmethod
    def _values(cls, stored: dict[str, Any]) -> dict[str, Any]:
        quality = stored.get("quality")
        return {name: value for name, value in stored.items() if name != "objects"} | {
            "failures": {
                reason: FailureCount(failure["count"], tuple(failure["item_ids"]))
                for reason, failure in stored["failures"].items()
            },
            "metadata": StoredObject(**stored["metadata"]),
            "quality": None if quality is None else QualityCount(**quality),
        }


@dataclass(frozen=True, kw_only=True)
class Marker(MarkerSummary):
    """A finished shard, with all objects that its results are in."""

    objects: tuple[StoredObject, ...]

    @classmethod
    def _values(cls, stored: dict[str, Any]) -> dict[str, Any]:
        objects = tuple(StoredObject(**entry) for entry in stored["objects"])
        return super()._values(stored) | {"objects": objects}


_STORED = (
    *("shard", "attempt", "items", "failures", "audio_seconds", "render_seconds", "metadata", "objects"),
    *("generation", "occupancy", "batch_size", "quality"),
)
"""The order in which a marker is stored."""


def count_failures(failed: Iterable[tuple[str, str]]) -> dict[str, FailureCount]:
    """Failures by reason, from pairs of reason and item id."""
    by_reason: dict[str, list[str]] = {}
    for reason, item_id in failed:
        by_reason.setdefault(reason, []).append(item_id)
    return {reason: FailureCount(len(ids), tuple(ids[:SHOWN_IDS])) for reason, ids in by_reason.items()}


def count_quality(judged: Iterable[tuple[str | None, Iterable[str] | None]]) -> QualityCount:
    """Verdicts and faults, from pairs of an item's verdict and its faults; both are None where it has no audio."""
    verdicts: Counter[str | None] = Counter()
    faults: Counter[str] = Counter()
    for verdict, found in judged:
        verdicts[verdict] += 1
        faults.update(found or ())
    return QualityCount(verdicts["good"], verdicts["poor"], dict(sorted(faults.items())))
