"""An index of a run's markers, as reading each of very many takes long: an optimization, and never the truth.

A listing tells which markers there are, and the index what those say that have the version and size which they had
when they were read. All others are read. So it may be lost, be old or be damaged at any moment, and nobody needs to
agree with others on it: each of its objects has a name of its own, by its content, and none is ever changed.
"""

import hashlib
import re
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.errors import UnavailableError
from jobs.storage import Listed, Storage
from schemas.marker import MarkerError, MarkerSummary
from schemas.marker_index import IndexRow, MarkerIndexError, index_from_parquet, index_to_parquet

INDEX_FOLDER = "_state/index"
INDEX_NAME = re.compile(rf"{INDEX_FOLDER}/([0-9a-f]{{32}})\.parquet")
READERS = 8


class MarkerIndex:
    """The index as it is in a storage: small in memory, of a hundred thousand markers and more."""

    def __init__(self, tables: Sequence[pa.Table] = ()) -> None:
        self.known: set[str] = set()
        """The markers that it has given."""

        batches = [batch for table in tables for batch in table.to_batches()]
        self._batches = [batch.columns for batch in batches]
        hashes = np.concatenate([np.zeros(0, np.int64), *map(_hashes, batches)])
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._batch = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])[order]
        self._row = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(batch)) for batch in batches)])[order]

    @classmethod
    def read(cls, storage: Storage) -> "MarkerIndex":
        """All of its objects that are what they were written as; the others are passed over."""
        names = [key for key in storage.keys(INDEX_FOLDER) if INDEX_NAME.fullmatch(key)]
        with ThreadPool(READERS) as pool:
            contents = zip(names, pool.imap(lambda key: _read(storage, key), names), strict=True)
            # Made tables of in one thread: pyarrow keeps memory that several threads have used.
            return cls([table for key, data in contents if (table := _table(key, data)) is not None])

    def find(self, listed: Listed) -> MarkerSummary | None:
        """The marker in a listing; None if the index does not know it as it is now."""
        wanted = listed.key, listed.version, listed.bytes
        place = int(self._hashes.searchsorted(hash(wanted)))
        if place == len(self._hashes) or not listed.version:
            return None
        row = int(self._row[place])
        *said, marker_json = (column[row].as_py() for column in self._batches[self._batch[place]])
        if tuple(said) != wanted:
            return None
        try:
            marker = MarkerSummary.from_json(marker_json)
        except MarkerError:
            return None
        self.known.add(listed.key)
        return marker


def write_index(storage: Storage, rows: Sequence[IndexRow]) -> None:
    """Add to the index of a run."""
    data = index_to_parquet(rows)
    storage.create(_name(data), data)


def _read(storage: Storage, key: str) -> bytes:
    try:
        return storage.read(key)
    except UnavailableError:
        return b""


def _table(key: str, data: bytes) -> pa.Table | None:
    try:
        return index_from_parquet(data) if _name(data) == key else None
    except MarkerIndexError:
        return None


def _hashes(rows: pa.RecordBatch) -> "np.ndarray[Any, np.dtype[np.int64]]":
    said = zip(*(rows[name].to_pylist() for name in ("key", "version", "bytes")), strict=True)
    return np.array([hash(each) for each in said], np.int64)


def _name(data: bytes) -> str:
    return f"{INDEX_FOLDER}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
