"""Keeps a run's index of markers while the run goes on."""

import threading
from collections.abc import Collection, Sequence
from multiprocessing.pool import ThreadPool

from jobs.errors import JobError
from jobs.run_directory.marker_index import write_index
from jobs.run_directory.run_directory import RunDirectory, marker_key
from jobs.run_directory.totals import Totals
from schemas.marker import MarkerSummary
from schemas.marker_index import IndexRow

SECONDS_BETWEEN_LOOKS = 5.0
ROWS_AT_ONCE = 1000
"""So many markers are added at a time: what the index lacks is read, and so many are soon read."""

LEAST_AT_END = 100
READERS = 4
PARTING_SECONDS = 3.0
"""A run that ends does not wait for longer."""


class IndexKeeper:
    """Adds finished shards to the index, in a thread of its own, until the end of its ``with`` block.

    Each is read anew, so that what is said of it goes with its version. ``known`` are the markers that the index has.
    What cannot be written is no reason for a run to end, or to wait.
    """

    def __init__(self, directory: RunDirectory, totals: Totals, known: Collection[str]) -> None:
        self._directory, self._totals, self._known = directory, totals, set(known)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def __enter__(self) -> "IndexKeeper":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join(PARTING_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            self._add_unknown(ROWS_AT_ONCE)
        self._add_unknown(LEAST_AT_END)

    def _add_unknown(self, least: int) -> None:
        """Add what the index lacks, if that is not too little."""
        finished = [marker_key(shard, generation) for shard, generation in self._totals.shards.copy().items()]
        unknown = [key for key in finished if key not in self._known]
        while len(unknown) >= least:
            added, unknown = unknown[:ROWS_AT_ONCE], unknown[ROWS_AT_ONCE:]
            try:
                self._add(added)
            except JobError:  # The storage does not answer, or one of the markers is damaged; readers will say so.
                return
            self._known.update(added)

    def _add(self, keys: Sequence[str]) -> None:
        with ThreadPool(READERS) as pool:
            write_index(self._directory.storage, list(pool.imap(self._row, keys)))

    def _row(self, key: str) -> IndexRow:
        content, version = self._directory.storage.read_version(key)
        return IndexRow(key, version, len(content), self._directory.parsed(MarkerSummary, key, content))
