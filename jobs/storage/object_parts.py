"""A remote object as a file of which only parts are fetched."""

import io
import os
from collections.abc import Callable
from typing import Any


class ObjectParts(io.RawIOBase):
    """A seekable file for reading: ``fetch`` gives the bytes from a place up to another one, of ``size`` in all."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._place = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; nothing is fetched."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, begin + offset)
        return self._place

    def tell(self) -> int:
        """The place that is read next."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fetch as many bytes as the buffer has room for, or as there are."""
        view = memoryview(buffer).cast("B")
        end = min(self._place + len(view), self._size)
        if end <= self._place:
            return 0
        part = self._fetch(self._place, end)
        view[: len(part)] = part
        self._place += len(part)
        return len(part)
