"""What each node has done in a run, and what is wrong with it, by the run's events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.console import duration, one_line
from jobs.inspect.timeline import read_sessions
from jobs.storage import Storage


@dataclass
class NodeRecord:
    """A node, over all sessions. ``audio`` is in seconds; ``faults`` say, and how often, what it was not fit for."""

    name: str
    shards: int = 0
    items: int = 0
    audio: float = 0.0
    deaths: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Its items that failed."""
        return self.failures.total()

    def add(self, event: Mapping[str, Any]) -> None:
        """Count an event."""
        match event["event"]:
            case "shard_finished":
                self.shards += 1
                self.items += int(event.get("items", 0))
                self.audio += float(event["audio_seconds"])
                self.failures.update(event.get("failures", {}))
            case "actor_died":
                self.deaths += 1
            case "place_suspected" | "slot_given_up":
                reason = str(event.get("reason"))
                self.faults[reason] = self.faults.get(reason, 0) + 1


def read_nodes(storage: Storage) -> Sequence[NodeRecord]:
    """The nodes of a run, by name; none for runs of an older version, whose events name none."""
    nodes: dict[str, NodeRecord] = {}
    for events in read_sessions(storage):
        for event in events:
            if isinstance(name := event.get("node"), str):
                nodes.setdefault(name, NodeRecord(name)).add(event)
    return [nodes[name] for name in sorted(nodes)]


def node_lines(nodes: Sequence[NodeRecord]) -> list[str]:
    """What there is to say of each node, a line for each and for each of its faults."""
    lines = []
    for node in nodes:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in node.failures.most_common())
        failed = f"{node.failed:,} failed{f' ({reasons})' if reasons else ''}"
        done = f"{node.shards:,} shards, {node.items:,} items, {duration(node.audio)} of audio"
        lines.append(f"{node.name}: {done}, {failed}, {node.deaths:,} deaths")
        lines += [
            f"  {one_line(reason)}{f' ({count:,} times)' if count > 1 else ''}" for reason, count in node.faults.items()
        ]
    return lines
