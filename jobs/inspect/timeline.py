"""How fast a run was at which time, by its events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from jobs.run_directory.events import EVENTS_FOLDER, EVENTS_NAME
from jobs.storage import Storage

INTERVALS = 120


@dataclass(frozen=True)
class Timeline:
    """The sessions of a run, put together without the time between them.

    ``speed`` is in seconds of audio per second, for :data:`INTERVALS` equal parts of ``seconds``; ``starts`` is when
    each further session began, 0 to 1.
    """

    seconds: float
    speed: Sequence[float]
    starts: Sequence[float]


def read_timeline(storage: Storage) -> Timeline:
    """The timeline of all sessions whose events were written."""
    work: list[tuple[float, float, float]] = []
    lengths: list[float] = []
    for events in read_sessions(storage):
        began, end = _seconds(events[0]), _seconds(events[-1])
        at_work: dict[int, float] = {}
        for event in events:
            time = _seconds(event) - began + sum(lengths)
            if _is_work(event):
                work.append((at_work.get(event["actor"], sum(lengths)), time, float(event["audio_seconds"])))
            if "actor" in event:
                at_work[event["actor"]] = time
        lengths.append(end - began)
    total = sum(lengths)
    starts = [sum(lengths[:index]) / total for index in range(1, len(lengths))] if total else []
    return Timeline(total, _spread(work, total), starts)


def read_sessions(storage: Storage) -> Iterator[list[Mapping[str, Any]]]:
    """The events of one driver after the other; their names begin with the time.

    What is not an event log of a driver is passed over: the folder may hold files of people.
    """
    keys = sorted(key for key in storage.keys(EVENTS_FOLDER) if EVENTS_NAME.fullmatch(key))
    for _, parts in groupby(keys, lambda key: key.rpartition("-")[0]):
        events = [event for part in parts for event in _events(storage.read(part))]
        if events:
            yield events


def _events(content: bytes) -> list[Mapping[str, Any]]:
    try:
        events = [json.loads(line) for line in content.splitlines()]
        for event in events:
            _seconds(event)
            if _is_work(event):
                event["actor"], float(event["audio_seconds"])
    except (ValueError, TypeError, KeyError):
        return []
    return events


def _is_work(event: Mapping[str, Any]) -> bool:
    """Whether audio was rendered: all of a shard, or a part; of a shard that was in parts they tell when."""
    return event["event"] == "part_finished" or (event["event"] == "shard_finished" and not event.get("parts"))


def _seconds(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def _spread(work: Sequence[tuple[float, float, float]], total: float) -> list[float]:
    """Each shard's audio, evenly over the time in which its actor was at work on it."""
    speed, width = [0.0] * INTERVALS, total / INTERVALS
    for start, end, audio in work:
        first = min(int(start / width), INTERVALS - 1) if width else 0
        last = min(int(end / width), INTERVALS - 1) if width else 0
        for interval in range(first, last + 1):
            inside = min(end, (interval + 1) * width) - max(start, interval * width)
            if width and end > start:
                speed[interval] += audio * max(inside, 0.0) / (end - start) / width
    return speed
