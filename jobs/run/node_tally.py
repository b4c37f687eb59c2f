"""What each node has done in this session, in lines for a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.run.places import Place
from jobs.run.workplace import Vitals
from jobs.shard.progress import ShardProgress
from schemas.marker import Marker

SHOWN_NODES = 8


@dataclass
class _Node:
    """A node's work: ``audio`` is in seconds, ``reported`` what of it was reported before."""

    items: int = 0
    failed: int = 0
    audio: float = 0.0
    deaths: int = 0
    reported: float = 0.0
    vitals: Vitals | None = None


class NodeTally:
    """Adds up what nodes do, and tells it from time to time."""

    def __init__(self) -> None:
        self._nodes: dict[Place, _Node] = {}

    def finished(self, place: Place, marker: Marker) -> None:
        """A shard is finished there. What is rendered again was counted before."""
        node = self._node(place)
        if not marker.generation:
            node.items += marker.items
            node.failed += marker.failed
            node.audio += marker.audio_seconds

    def died(self, place: Place) -> None:
        """A worker died there."""
        self._node(place).deaths += 1

    def felt(self, vitals: Vitals) -> None:
        """A worker there has reported how much memory is used."""
        self._node(vitals.place).vitals = vitals

    def lines(
        self, workers: Mapping[Place, int], under_way: Iterable[tuple[Place, ShardProgress]], seconds: float
    ) -> list[str]:
        """A line for every node, the slowest first; at most :data:`SHOWN_NODES`, and one for the others.

        ``seconds`` have passed since the last lines, ``workers`` are those that are ready now.
        """
        audio = {place: node.audio for place, node in self._nodes.items()}
        for place, progress in under_way:
            audio[place] = audio.get(place, 0.0) + progress.audio_seconds
        speed: dict[Place, float] = {}
        for place in {*audio, *workers}:
            node, now = self._node(place), audio.get(place, 0.0)
            speed[place] = max(0.0, now - node.reported) / seconds
            node.reported = max(node.reported, now)
        order = sorted(speed, key=lambda place: (speed[place], place))
        shown = [self._line(place, workers.get(place, 0), speed[place]) for place in order[:SHOWN_NODES]]
        return [*shown, *self._others(order[SHOWN_NODES:], speed)]

    def _node(self, place: Place) -> _Node:
        return self._nodes.setdefault(place, _Node())

    def _line(self, place: Place, workers: int, speed: float) -> str:
        node = self._node(place)
        parts = [f"{_count(workers, 'worker')}, {node.items:,} items finished, {speed:.1f} audio-s/s"]
        parts += [f"{node.failed:,} failed"] if node.failed else []
        parts += [_count(node.deaths, "death")] if node.deaths else []
        if node.vitals and node.vitals.memory:
            parts.append(f"memory {_bytes(*node.vitals.memory)}")
        if node.vitals and node.vitals.gpu_memory:
            parts.append(f"{node.vitals.gpu} {_bytes(*node.vitals.gpu_memory)}")
        return f"{place}: {', '.join(parts)}"

    def _others(self, places: Sequence[Place], speed: Mapping[Place, float]) -> list[str]:
        if not places:
            return []
        items, together = sum(self._node(place).items for place in places), sum(speed[place] for place in places)
        return [f"{len(places):,} faster nodes: {items:,} items finished, {together:.1f} audio-s/s"]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _bytes(used: int, size: int) -> str:
    return f"{used / 1e9:.1f} of {size / 1e9:.1f} GB"
