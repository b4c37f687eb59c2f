"""``midi-valle gc``: the data that killed attempts left behind, found and deleted."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.run_directory.lease import LEASE_KEY, STALE_SECONDS
from jobs.run_directory.run_directory import MARKER_FOLDER, RunDirectory
from jobs.run_directory.run_names import RunNames, shard_of_metadata
from jobs.storage import Listed

_LOST = (
    f": was {MARKER_FOLDER} lost, or left out of a copy? Put it back; or run the command of the run again, "
    "which renders what has no marker"
)


@dataclass(frozen=True, eq=False)
class Garbage:
    """What can go: ``objects`` that no marker names, and ``leftovers`` of writers that were interrupted.

    While a run may be under way, as ``kept_because`` then says, the objects may be those of a shard whose marker is
    yet to come: they stay.
    """

    objects: Sequence[Listed]
    leftovers: Sequence[Listed]
    kept_because: str

    @property
    def removable(self) -> Sequence[Listed]:
        """What can be deleted now."""
        return [*(() if self.kept_because else self.objects), *self.leftovers]


def find_garbage(directory: RunDirectory, quiet_seconds: float) -> Garbage:
    """Look for data that no marker names, and for leftovers that are older than ``quiet_seconds``.

    run.json, markers, events and what people put into the folder are never garbage: it is known by the names that a
    run's writers give. Nor is anything while markers may be lost, as result rows without one say.

    JobError if there is no run, or if any of its markers cannot be read: then nothing is known to be garbage.
    """
    names = RunNames(directory.begun().settings)
    now = time.time()
    storage = directory.storage
    finished = _Finished.read(directory)
    objects, newest, lease = [], 0.0, 0.0
    for found in storage.listing():
        newest = max(newest, found.modified)
        if found.key == LEASE_KEY:
            lease = found.modified
        if names.is_data(found.key) and found.key not in finished.keys:
            objects.append(found)
    if objects:  # Some may have been committed while we looked.
        finished = _Finished.read(directory)
        objects = [found for found in objects if found.key not in finished.keys]
    unmarked = {shard_of_metadata(found.key) for found in objects} - {None} - finished.shards
    leftovers = [
        found
        for found in storage.leftovers()
        if names.is_leftover(found.key) and _age(found.modified, now) >= quiet_seconds
    ]
    kept_because = ""
    if _age(lease, now) < STALE_SECONDS:
        kept_because = "a driver is at work on this run, or was a moment ago"
    elif _age(newest, now) < quiet_seconds:
        kept_because = (
            f"the run was written to less than {quiet_seconds / 3600:g} hours ago, so it may be under way "
            "(if you know that it is not, give --older-than 0)"
        )
    elif not finished.shards:
        kept_because = f"no shard has a marker, so nothing tells garbage from results{_LOST}"
    elif unmarked:
        kept_because = f"{len(unmarked):,} shards have result rows but no marker, so these may be finished{_LOST}"
    return Garbage(objects, leftovers, kept_because)


def delete_garbage(directory: RunDirectory, garbage: Garbage) -> Iterator[Listed]:
    """Delete what is removable, one thing at a time; yields what is gone."""
    for found in () if garbage.kept_because else garbage.objects:
        directory.storage.delete(found.key)
        yield found
    for found in garbage.leftovers:
        directory.storage.discard(found)
        yield found


def _age(modified: float, now: float) -> float:
    return max(0.0, now - modified)  # A storage has its own clock, perhaps ahead of ours.


@dataclass(frozen=True)
class _Finished:
    """The shards that have markers, and the keys that these name."""

    shards: frozenset[int]
    keys: frozenset[str]

    @classmethod
    def read(cls, directory: RunDirectory) -> "_Finished":
        shards: set[int] = set()
        keys: set[str] = set()
        for marker in directory.markers():
            shards.add(marker.shard)
            keys.update((marker.metadata.key, *(stored.key for stored in marker.objects)))
        return cls(frozenset(shards), frozenset(keys))
