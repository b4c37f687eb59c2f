"""Where a run reads and writes: objects under keys, which are relative POSIX paths."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.errors import JobError, StorageError

_TEMPORARY = ".tmp-"


class Storage(Protocol):
    """Objects that are there as a whole or not at all, durable once a call returns; else StorageError."""

    @property
    def uri(self) -> str:
        """Where it is, for people."""
        ...

    def read(self, key: str) -> bytes:
        """The object's content."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write the object, in place of any there is."""
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

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        ...


def local_path(location: str | Path, folder: Path | None = None) -> Path:
    """The path that a user's or a manifest's location stands for; a relative one lies in ``folder``.

    All locations pass here. JobError for a URI, which has no path.
    """
    text = str(location)
    if "://" in text:
        raise JobError(f"{text}: only local files and folders can be used, not URIs")
    return Path(text) if folder is None else folder / text


def open_storage(location: str) -> Storage:
    """The storage at a location: a local folder, which need not exist yet."""
    root = local_path(location).absolute()
    if root.exists() and not root.is_dir():
        raise JobError(f"{root} is a file; the output must be a folder")
    return LocalStorage(root)


@dataclass(frozen=True)
class LocalStorage:
    """A folder. An object is written to a temporary file, synced, and renamed; then the folder is synced."""

    root: Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    def read(self, key: str) -> bytes:
        """The file's content."""
        path = self._path(key)
        with _refusals("read", path):
            return path.read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Write the file, in place of any there is."""
        path = self._path(key)
        with _refusals("write", path), _temporary_file(path, data) as temporary:
            temporary.replace(path)
            _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write the file if there is none: a hard link to it can only be made once."""
        path = self._path(key)
        with _refusals("create", path), _temporary_file(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
            return True

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The files under a folder; what an interrupted write left behind is not listed."""
        top = self._path(prefix) if prefix else self.root
        with _refusals("list", top):
            for folder, _, names in os.walk(top, onerror=_raise_unless_absent):
                for name in names:
                    if not name.startswith(_TEMPORARY):
                        yield (Path(folder) / name).relative_to(self.root).as_posix()

    def delete(self, key: str) -> None:
        """Delete the file, if it is there."""
        path = self._path(key)
        with _refusals("delete", path):
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"key {key!r} leads out of the storage")
        return self.root / key


@contextmanager
def _temporary_file(path: Path, data: bytes) -> Iterator[Path]:
    """A durable file with the content, beside ``path``; removed at the end if it is still there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # As mkdir calls a file where a folder should be.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from None
    temporary = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


_ADVICE = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "make space in the quota",
    errno.EFBIG: "files of this size are not allowed here",
    errno.EACCES: "the folder must be writable",
    errno.EPERM: "the folder must be writable and its file system must allow hard links",
    errno.EROFS: "the file system is read-only",
}


@contextmanager
def _refusals(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        advice = f" ({_ADVICE[error.errno]})" if error.errno in _ADVICE else ""
        raise StorageError(f"cannot {action} {path}: {reason}{advice}") from error
