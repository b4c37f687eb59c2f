"""The run directory: run.json first, data next, and a marker last that makes a shard's data final.

Readers and resumed runs go by the markers; objects that no marker names are what killed attempts left. A marker
is never rewritten: where failed items are rendered again, a marker of the next generation holds from then on.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.run_directory.lease import LEASE_KEY
from jobs.run_directory.marker_index import MarkerIndex
from jobs.run_directory.run_names import RunNames
from jobs.storage import Listed, Storage
from schemas.marker import Marker, MarkerError, MarkerSummary
from schemas.run import Run, RunError, cautions, differences

RUN_KEY = "run.json"
REPORT_KEY = "report.html"
STATE_FOLDER = "_state"
MARKER_FOLDER = "_state/done"
READERS = 16
"""So many markers are read side by side: on S3 each takes a while."""

AT_ONCE = 10 * READERS
"""So many are in memory."""

_Marker = TypeVar("_Marker", bound=MarkerSummary)
_MARKER_NAME = re.compile(r"(\d+)(?:\.r(\d+))?\.json")


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
        # A driver that was killed before it began a run may have left its state.
        found = next((key for key in self.storage.keys("") if not key.startswith(f"{STATE_FOLDER}/")), None)
        if found is not None:
            raise JobError(
                f"{self.storage.uri} holds {found!r} but no {RUN_KEY}, so it is not a run's folder: "
                "choose another --out, or empty it"
            )
        return None

    def begun(self) -> Run:
        """The run that began here; JobError if none did."""
        run = self.existing()
        if run is None:
            raise JobError(f"{self.storage.uri}: no run has begun here")
        return run

    def check_same(self, existing: Run, wanted: Run, shard_items: int | None, extend: bool = False) -> list[str]:
        """JobError that names what differs if ``wanted`` is not the run that began here.

        With ``extend``, the manifest may be another one: that its first rows are the run's is not checked here.
        Returns what differs without making it another run, to be said to the user.
        """
        differing = differences(existing, wanted, extend)
        planned = existing.shards[0].row_count
        if shard_items is not None and min(shard_items, existing.items) != planned:
            differing.append(f"shard_items: {planned} in the run, {shard_items} now")
        if differing:
            lines = "\n".join(f"  - {line}" for line in differing)
            raise JobError(
                f"{self.storage.uri} holds another run, begun {existing.created}:\n{lines}\n"
                "Give the run's own options to continue it, or choose another --out; --extend goes on if rows were "
                "only appended to the manifest, --overwrite begins anew."
            )
        return cautions(existing, wanted)

    def start(self, run: Run) -> None:
        """Begin the run; JobError if another one began at the same moment."""
        if not self.storage.create(RUN_KEY, run.to_json()):
            raise JobError(f"{self.storage.uri}: another run has just begun here; run the command again")

    def change(self, before: Run, run: Run) -> None:
        """Go on with a run that has more shards now, or whose manifest has moved; JobError if it is not as before.

        Only the driver that has the lease may do this.
        """
        if self.existing() != before:
            raise JobError(f"{self.storage.uri}: another driver has just changed this run; run the command again")
        self.storage.write(RUN_KEY, run.to_json())

    def own_keys(self, run: Run) -> list[str]:
        """What the run has written, in the order in which it can be deleted; JobError if a link is in the way.

        Known by names, so what else lies in the folder is not among it, and neither is the lease. Markers come first,
        as they promise all else; run.json last, as without it the folder is nobody's: whenever deleting is
        interrupted, it can be repeated.
        """
        names = RunNames(run.settings)
        for link in self.storage.links():
            if link in names.folders or names.is_own(link):
                raise JobError(
                    f"{self.storage.uri}/{link} is a link, and what lies behind a link is never deleted: "
                    "remove the link, or choose another --out"
                )
        own = {found.key for found in self.storage.listing() if names.is_own(found.key)} - {LEASE_KEY}
        return sorted(own, key=lambda key: (key == RUN_KEY, key == REPORT_KEY, not key.startswith(MARKER_FOLDER), key))

    def markers(self) -> Iterator[Marker]:
        """The finished shards, in the manifest's order: of each shard the marker of the newest generation."""
        return self._in_order(lambda listed: self.marker_at(listed.key))

    def summaries(self, index: MarkerIndex | None = None) -> Iterator[MarkerSummary]:
        """The same without their objects: many at once, where the run's ``index`` of markers knows them."""
        known = index or MarkerIndex.read(self.storage)
        return self._in_order(lambda listed: self._read(MarkerSummary, listed.key), known.find)

    def marker_keys(self) -> dict[int, str]:
        """The key of each finished shard's marker, of the newest generation, in the manifest's order."""
        return {shard: listed.key for shard, listed in self._newest()}

    def marker(self, shard: int, generation: int = 0) -> Marker:
        """One finished shard, as of a generation."""
        return self.marker_at(marker_key(shard, generation))

    def marker_at(self, key: str) -> Marker:
        """The marker under a key."""
        return self._read(Marker, key)

    def commit(self, marker: Marker) -> Marker:
        """Make an attempt's data final; returns the marker that holds: another attempt's, if it was first."""
        key = marker_key(marker.shard, marker.generation)
        if self.storage.create(key, marker.to_json()):
            return marker
        return self.marker_at(key)

    def results(self) -> Iterator[pa.Table]:
        """The result rows of every finished shard, in the manifest's order."""
        return map(self.result_rows, self.summaries())

    def result_rows(self, marker: MarkerSummary, columns: Sequence[str] | None = None) -> pa.Table:
        """The result rows of one finished shard, or those of the ``columns`` that it has."""
        file = pq.ParquetFile(io.BytesIO(self.storage.read(marker.metadata.key)))
        return file.read(None if columns is None else [name for name in columns if name in file.schema_arrow.names])

    def parsed(self, kind: type[_Marker], key: str, content: bytes) -> _Marker:
        """A marker's content; JobError if it is none."""
        try:
            return kind.from_json(content)
        except MarkerError as error:
            raise JobError(f"{self.storage.uri}/{key}: {error}") from None

    def _read(self, kind: type[_Marker], key: str) -> _Marker:
        return self.parsed(kind, key, self.storage.read(key))

    def _newest(self) -> list[tuple[int, Listed]]:
        """Each finished shard's marker of the newest generation, in the manifest's order."""
        newest: dict[int, tuple[int, Listed]] = {}
        for listed in self.storage.versions(MARKER_FOLDER):
            if name := _MARKER_NAME.fullmatch(listed.key.removeprefix(f"{MARKER_FOLDER}/")):
                shard, generation = int(name[1]), int(name[2] or 0)
                if shard not in newest or generation > newest[shard][0]:
                    newest[shard] = generation, listed
        return [(shard, newest.pop(shard)[1]) for shard in sorted(newest)]

    def _in_order(
        self, read: Callable[[Listed], _Marker], find: Callable[[Listed], _Marker | None] = lambda listed: None
    ) -> Iterator[_Marker]:
        """Finished shards, in the manifest's order: those that are not found are read, many side by side."""
        wanted = [listed for _, listed in self._newest()]
        with ThreadPool(READERS) as pool:
            for start in range(0, len(wanted), AT_ONCE):
                portion = wanted[start : start + AT_ONCE]
                found = [find(listed) for listed in portion]
                lacking = [listed for listed, marker in zip(portion, found, strict=True) if marker is None]
                others = pool.imap(read, lacking)
                yield from (next(others) if marker is None else marker for marker in found)


def marker_key(shard: int, generation: int = 0) -> str:
    """Where a shard's marker lies: ``00000.json``, and ``00000.r1.json`` after its failed items were retried."""
    suffix = f".r{generation}" if generation else ""
    return f"{MARKER_FOLDER}/{shard_name(shard)}{suffix}.json"


def shard_name(shard: int) -> str:
    """A shard's name in keys; names sort as shards do, up to 99,999 of them."""
    return f"{shard:05d}"
