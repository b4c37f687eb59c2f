"""What a shard's items are until they are put together: bytes on this machine's disk, not in its memory."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from jobs.errors import StorageError


class Spooled(NamedTuple):
    """Where something lies in a spool."""

    offset: int
    size: int


class Spool:
    """A nameless file in the folder for temporary files (``TMPDIR``): it is gone when its process is.

    Several threads may add and read.
    """

    def __init__(self) -> None:
        self._end = 0
        self._one_at_a_time = threading.Lock()
        with refusals():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as the spool.

    def add(self, data: bytes) -> Spooled:
        """Append something; StorageError if the disk does not take it."""
        with self._one_at_a_time:
            place = Spooled(self._end, len(data))
            self._end += len(data)
        written, view = 0, memoryview(data)
        with refusals():
            while written < len(data):  # No call takes more than 2 GiB, and a disk that is nearly full takes less.
                written += os.pwrite(self._file.fileno(), view[written:], place.offset + written)
        return place

    def read(self, place: Spooled) -> bytes:
        """What was added."""
        data = b""
        with refusals():
            while len(data) < place.size:
                data += os.pread(self._file.fileno(), place.size - len(data), place.offset + len(data))
        return data

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
