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

from jobs.errors import UnavailableError
from jobs.storage import Listed, Storage
from schemas.marker import MarkerError, MarkerSummary
from schemas.marker_index import IndexRow, MarkerIndexError, index_from_parquet, index_to_parquet

INDEX_FOLDER = "_state/index"
INDEX_NAME = re.compile(rf"{INDEX_FOLDER}/([0-9a-f]{{32}})\.parquet")
READERS = 8


class MarkerIndex:
    """The index as it is in a storage."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        """The markers that it has told."""

        self._rows: dict[tuple[str, str, int], tuple[Any, int]] = {}

    @classmethod
    def read(cls, storage: Storage) -> "MarkerIndex":
        """All of its objects that are what they were written as; the others are passed over."""
        index = cls()
        names = [key for key in storage.keys(INDEX_FOLDER) if INDEX_NAME.fullmatch(key)]
        with ThreadPool(READERS) as pool:
            for key, data in pool.imap_unordered(lambda key: (key, _content(storage, key)), names):
                if key == _name(data):
                    index._add(data)
        return index

    def find(self, listed: Listed) -> MarkerSummary | None:
        """The marker in a listing; None if the index does not know it as it is now."""
        place = self._rows.get((listed.key, listed.version, listed.bytes))
        if place is None or not listed.version:
            return None
        markers, row = place
        try:
            marker = MarkerSummary.from_json(markers[row].as_py())
        except MarkerError:
            return None
        self.known.add(listed.key)
        return marker

    def _add(self, data: bytes) -> None:
        try:
            table = index_from_parquet(data).combine_chunks()
        except MarkerIndexError:
            return
        markers = table["marker"].chunk(0) if table.num_rows else None
        keys = zip(*(table[name].to_pylist() for name in ("key", "version", "bytes")), strict=True)
        self._rows |= {key: (markers, row) for row, key in enumerate(keys)}


def write_index(storage: Storage, rows: Sequence[IndexRow]) -> None:
    """Add to the index of a run."""
    data = index_to_parquet(rows)
    storage.create(_name(data), data)


def _content(storage: Storage, key: str) -> bytes:
    try:
        return storage.read(key)
    except UnavailableError:
        return b""


def _name(data: bytes) -> str:
    return f"{INDEX_FOLDER}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
