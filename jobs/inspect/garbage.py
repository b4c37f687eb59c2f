"""``midi-valle gc``: the data that killed attempts left behind, found and deleted."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.run_directory.lease import LEASE_KEY, STALE_SECONDS
from jobs.run_directory.run_directory import DATA_FOLDERS, RunDirectory
from jobs.storage import Listed


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

    run.json, markers, events and what people put into the folder are never garbage.

    JobError if there is no run, or if any of its markers cannot be read: then nothing is known to be garbage.
    """
    directory.begun()
    now = time.time()
    storage = directory.storage
    named = set(_named(directory))
    objects, newest, lease = [], 0.0, 0.0
    for found in storage.listing():
        newest = max(newest, found.modified)
        if found.key == LEASE_KEY:
            lease = found.modified
        if found.key.partition("/")[0] in DATA_FOLDERS and found.key not in named:
            objects.append(found)
    if objects:  # Some may have been committed while we looked.
        named = set(_named(directory))
        objects = [found for found in objects if found.key not in named]
    leftovers = [found for found in storage.leftovers() if _age(found.modified, now) >= quiet_seconds]
    kept_because = ""
    if _age(lease, now) < STALE_SECONDS:
        kept_because = "a driver is at work on this run, or was a moment ago"
    elif _age(newest, now) < quiet_seconds:
        kept_because = (
            f"the run was written to less than {quiet_seconds / 3600:g} hours ago, so it may be under way "
            "(if you know that it is not, give --older-than 0)"
        )
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


def _named(directory: RunDirectory) -> Iterator[str]:
    for marker in directory.markers():
        yield marker.metadata.key
        yield from (stored.key for stored in marker.objects)
