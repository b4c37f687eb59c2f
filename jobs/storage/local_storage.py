"""A local folder as a storage."""

import errno
import fcntl
import io
import os
import re
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jobs.errors import StorageError
from jobs.storage.storage import Listed, checked_key
from renderer.durable import NOT_SUPPORTED, sync, sync_folder

COPIED_BYTES = 1 << 20
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}")
_LOCK = f".tmp-{uuid.UUID(int=0).hex}"


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

    def read_version(self, key: str) -> tuple[bytes, str]:
        """The file's content, and when it was written, to the nanosecond."""
        with self.open(key) as file:
            return file.read(), _version(os.fstat(file.fileno()))

    def open(self, key: str) -> BinaryIO:
        """The file, open for reading."""
        path = self._path(key)
        with _refusals("read", path):
            return path.open("rb")

    def open_parts(self, key: str) -> BinaryIO:
        """The file, open for reading."""
        return self.open(key)

    def file(self, key: str) -> Path:
        """Where the file is; StorageError for a key that leads out of the folder."""
        return self._path(key)

    def size(self, key: str) -> int | None:
        """The file's bytes; None if there is none."""
        path = self._path(key)
        with _refusals("read", path):
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return status.st_size if stat.S_ISREG(status.st_mode) else None

    def sizes(self, keys: Collection[str]) -> Mapping[str, int]:
        """None: each costs next to nothing."""
        return {}

    def write(self, key: str, data: bytes) -> None:
        """Write the file, in place of any there is."""
        self.write_file(key, io.BytesIO(data))

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Write the file from another one, in place of any there is."""
        path = self._path(key)
        with _refusals("write", path), _temporary_file(path, file) as temporary:
            temporary.replace(path)
            sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write the file if there is none: a hard link to it can only be made once.

        Where a file system has no hard links, a lock in the folder sees to it that one writer renames at a time.
        """
        path = self._path(key)
        with _refusals("create", path), _temporary_file(path, io.BytesIO(data)) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in NOT_SUPPORTED:
                    raise
                if not _renamed_once(temporary, path):
                    return False
            sync_folder(path.parent)
            return True

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The files under a folder; what an interrupted write left behind is not listed."""
        top = self._path(prefix) if prefix else self.root
        for path in _files(top):
            if not is_temporary(path.name):
                yield path.relative_to(self.root).as_posix()

    def check(self, key: str) -> None:
        """Nothing: between a disk and us there is no protocol."""

    def delete(self, key: str) -> None:
        """Delete the file, if it is there; StorageError if one of its folders is a link."""
        path = self._path(key)
        *folders, name = path.relative_to(self.root).parts
        with _refusals("delete", path), ExitStack() as opened:
            try:
                folder = _open_folder(self.root, opened)
                for part in folders:
                    folder = _open_folder(part, opened, folder)
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return

    def versions(self, prefix: str = "") -> Iterator[Listed]:
        """The files under a folder, with their sizes and times; a link is what it leads to."""
        for key in self.keys(prefix):
            path = self.root / key
            try:
                status = path.stat()
            except OSError:  # It cannot be read either, and who does learns why.
                yield Listed(key, 0, 0.0)
            else:
                yield Listed(key, status.st_size, status.st_mtime, _version(status))

    def listing(self) -> Iterator[Listed]:
        """All files, with their sizes and times."""
        return (found for found in self._listed() if not is_temporary(found.key))

    def links(self) -> Iterator[str]:
        """The symbolic links in the folder, to files or folders."""
        for folder, folders, names in os.walk(self.root, onerror=_raise_unless_absent):
            for path in (Path(folder) / name for name in (*folders, *names)):
                if path.is_symlink():
                    yield path.relative_to(self.root).as_posix()

    def leftovers(self) -> Iterator[Listed]:
        """The temporary files of writers that were killed, and of those that are at work."""
        return (found for found in self._listed() if is_temporary(found.key))

    def discard(self, leftover: Listed) -> None:
        """Remove a temporary file."""
        self.delete(leftover.key)

    def _listed(self) -> Iterator[Listed]:
        for path in _files(self.root):
            try:
                status = path.lstat()
            except FileNotFoundError:  # Its writer has just finished.
                continue
            if stat.S_ISREG(status.st_mode):
                yield Listed(path.relative_to(self.root).as_posix(), status.st_size, status.st_mtime)

    def _path(self, key: str) -> Path:
        if key.startswith("/"):
            raise StorageError(f"key {key!r} leads out of the storage")
        return self.root / checked_key(key)


def is_temporary(key: str) -> bool:
    """Whether a file is one that this storage's writers make beside the one that they are to become."""
    return _TEMPORARY.fullmatch(key.rpartition("/")[2]) is not None


def _version(status: os.stat_result) -> str:
    return str(status.st_mtime_ns)


def _files(top: Path) -> Iterator[Path]:
    """The files under a folder, not those behind links in it."""
    with _refusals("list", top):
        for folder, _, names in os.walk(top, onerror=_raise_unless_absent):
            yield from (Path(folder) / name for name in names)


def _open_folder(path: Path | str, opened: ExitStack, parent: int | None = None) -> int:
    """A folder's descriptor; below a ``parent`` it must not be a link, which is no folder then."""
    if parent is None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
    opened.callback(os.close, descriptor)
    return descriptor


@contextmanager
def _temporary_file(path: Path, content: BinaryIO) -> Iterator[Path]:
    """A durable file with the content, beside ``path``; removed at the end if it is still there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # As mkdir calls a file where a folder should be.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from None
    temporary = path.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            content.seek(0)
            shutil.copyfileobj(content, file, COPIED_BYTES)
            file.flush()
            sync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _renamed_once(temporary: Path, path: Path) -> bool:
    """Rename, if there is nothing yet; of several writers that call this, exactly one succeeds."""
    with _lock(path.parent):
        if path.exists():
            return False
        temporary.rename(path)
        return True


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """The folder's lock file, held; a writer that is killed loses it."""
    lock = folder / _LOCK
    while True:
        with lock.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                is_current = os.path.samestat(os.fstat(file.fileno()), lock.stat())
            except FileNotFoundError:  # The holder before has removed it.
                is_current = False
            if is_current:
                try:
                    yield
                finally:
                    with suppress(OSError):
                        lock.unlink()
                return


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


_ADVICE = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "make space in the quota",
    errno.EFBIG: "files of this size are not allowed here",
    errno.EACCES: "the folder must be writable",
    errno.EPERM: "the folder must be writable",
    errno.ENOLCK: "the file system must allow hard links or locks",
    errno.EROFS: "the file system is read-only",
    errno.ELOOP: "nothing is deleted through a link",
}


@contextmanager
def _refusals(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        advice = f" ({_ADVICE[error.errno]})" if error.errno in _ADVICE else ""
        raise StorageError(f"cannot {action} {path}: {reason}{advice}") from error
