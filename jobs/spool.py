"""What a shard's items are until they are put together: bytes on this machine's disk, not in its memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from jobs.errors import StorageError


class Spooled(NamedTuple):
    """Where something lies in a spool."""

    offset: int
    size: int


class Spool:
    """A nameless file in the folder for temporary files (``TMPDIR``): it is gone when its process is."""

    def __init__(self) -> None:
        self._end = 0
        with refusals():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the spool.

    def add(self, data: bytes) -> Spooled:
        """Append something; StorageError if the disk does not take it."""
        with refusals():
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
        place = Spooled(self._end, len(data))
        self._end += len(data)
        return place

    def read(self, place: Spooled) -> bytes:
        """What was added."""
        with refusals():
            self._file.seek(place.offset)
            return self._file.read(place.size)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """An empty nameless file; StorageError for what goes wrong with it."""
    with refusals(), tempfile.TemporaryFile() as file:
        yield file


@contextmanager
def refusals() -> Iterator[None]:
    """The disk's refusals as StorageError: they are no item's fault."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"cannot put a shard together in {tempfile.gettempdir()}: {reason} "
            "(make space there, or let TMPDIR name another folder)"
        ) from error
