"""The run directory: run.json first, data next, and a marker last that makes a shard's data final.

Readers and resumed runs go by the markers; objects that no marker names are what killed attempts left.
"""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.storage import Storage
from schemas.marker import Marker, MarkerError
from schemas.run import Run, RunError, cautions, differences

RUN_KEY = "run.json"
MARKER_FOLDER = "_state/done"
PROBE_KEY = "_state/writable"


class RunDirectory:
    """One run's folder, by its contract."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def existing(self) -> Run | None:
        """The run that began here, None where nothing is; JobError if it is something else's folder."""
        if self.storage.exists(RUN_KEY):
            try:
                return Run.from_json(self.storage.read(RUN_KEY))
            except RunError as error:
                raise JobError(f"{self.storage.uri}: {error}") from None
        found = next(iter(self.storage.keys()), None)
        if found is not None:
            raise JobError(
                f"{self.storage.uri} holds {found!r} but no {RUN_KEY}, so it is not a run's folder: "
                "choose another --out, or empty it"
            )
        return None

    def check_same(self, existing: Run, wanted: Run, shard_items: int | None) -> list[str]:
        """JobError that names what differs if ``wanted`` is not the run that began here.

        Returns what differs without making it another run, to be told to the user.
        """
        differing = differences(existing, wanted)
        planned = existing.shards[0].row_count
        if shard_items is not None and min(shard_items, existing.items) != planned:
            differing.append(f"shard_items: {planned} in the run, {shard_items} now")
        if differing:
            lines = "\n".join(f"  - {line}" for line in differing)
            raise JobError(
                f"{self.storage.uri} holds another run, begun {existing.created}:\n{lines}\n"
                "Give the run's own options to continue it, or choose another --out."
            )
        return cautions(existing, wanted)

    def check_writable(self) -> None:
        """StorageError if nothing can be written here."""
        self.storage.write(PROBE_KEY, b"")
        self.storage.delete(PROBE_KEY)

    def start(self, run: Run) -> None:
        """Begin the run; JobError if another one began at the same moment."""
        if not self.storage.create(RUN_KEY, run.to_json()):
            raise JobError(f"{self.storage.uri}: another run has just begun here; run the command again")

    def markers(self) -> Iterator[Marker]:
        """The finished shards, in the manifest's order."""
        for key in sorted(self.storage.keys(MARKER_FOLDER)):
            yield self._marker(key)

    def commit(self, marker: Marker) -> Marker:
        """Make an attempt's data final; returns the marker that holds: another attempt's, if it was first."""
        key = f"{MARKER_FOLDER}/{shard_name(marker.shard)}.json"
        if self.storage.create(key, marker.to_json()):
            return marker
        return self._marker(key)

    def results(self) -> Iterator[pa.Table]:
        """The result rows of every finished shard, in the manifest's order."""
        for marker in self.markers():
            yield pq.read_table(io.BytesIO(self.storage.read(marker.metadata.key)))

    def _marker(self, key: str) -> Marker:
        try:
            return Marker.from_json(self.storage.read(key))
        except MarkerError as error:
            raise JobError(f"{self.storage.uri}/{key}: {error}") from None


def shard_name(shard: int) -> str:
    """A shard's name in keys; names sort as shards do, up to 99,999 of them."""
    return f"{shard:05d}"
