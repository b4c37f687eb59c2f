"""Where a run reads and writes: objects under keys, which are relative POSIX paths."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from jobs.errors import StorageError


@dataclass(frozen=True, slots=True)
class Listed:
    """Something found in a storage: its key, its size, and when it was written, in seconds since the epoch.

    ``version`` is another one if the content is; on S3 it is the ETag.
    """

    key: str
    bytes: int
    modified: float
    version: str = ""


class Storage(Protocol):
    """Objects that are there as a whole or not at all, durable once a call returns; else StorageError."""

    @property
    def uri(self) -> str:
        """Where it is, for people."""
        ...

    def read(self, key: str) -> bytes:
        """The object's content."""
        ...

    def read_version(self, key: str) -> tuple[bytes, str]:
        """The object's content, and its version: what :meth:`versions` says as long as the content is this one."""
        ...

    def open(self, key: str) -> BinaryIO:
        """The object's content as a seekable file, however large it is; to be closed by the caller."""
        ...

    def open_parts(self, key: str) -> BinaryIO:
        """Like :meth:`open`, for an object of which little is read: no more is fetched than that."""
        ...

    def size(self, key: str) -> int | None:
        """The object's bytes; None if there is none."""
        ...

    def sizes(self, keys: Collection[str]) -> Mapping[str, int]:
        """The bytes of many objects, of those that cost less to be asked for together than one by one: maybe none."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write the object, in place of any there is."""
        ...

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Write a seekable file's whole content, which need not fit into memory, like :meth:`write`."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if there is none; False if there is. Of several writers exactly one succeeds."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys of all objects under a folder (``""``: of all), in no particular order."""
        ...

    def check(self, key: str) -> None:
        """StorageError if what is written under a key does not come back as it was; nothing is left there."""
        ...

    def delete(self, key: str) -> None:
        """Delete the object, if it is there. Never through a link to elsewhere."""
        ...

    def versions(self, prefix: str = "") -> Iterator[Listed]:
        """The objects that :meth:`keys` gives, with what is known without reading them."""
        ...

    def listing(self) -> Iterator[Listed]:
        """All objects, with their sizes and times: what is in the storage itself, nothing behind links."""
        ...

    def links(self) -> Iterator[str]:
        """The keys of links to other places."""
        ...

    def leftovers(self) -> Iterator[Listed]:
        """What interrupted writes left behind, which is no object: temporary files, unfinished uploads."""
        ...

    def discard(self, leftover: Listed) -> None:
        """Remove one of the :meth:`leftovers`, if it is there."""
        ...


def checked_key(key: str) -> str:
    """The key, if it stays within its storage; else StorageError."""
    if ".." in key.split("/"):
        raise StorageError(f"key {key!r} leads out of the storage")
    return key
