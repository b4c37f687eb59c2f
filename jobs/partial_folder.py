"""Folders of what is not whole yet: a killed command, given again, goes on with what it finds there."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jobs.errors import JobError, StorageError


class PartialFolder:
    """A folder in which something is made until it has a name.

    ``plan`` says what is made, and lies in the folder under ``plan_name``: where there is another one, nothing is gone
    on with. Each file is whole or not there, so that none need be made twice. Several threads may write.
    """

    def __init__(self, folder: Path, plan_name: str, plan: bytes) -> None:
        self.folder = folder
        self._plan_name, self._plan = plan_name, plan

    def resume(self, other: str) -> None:
        """Make the folder, or go on in it; JobError if its plan is another one, which ``other`` puts into words."""
        if self.plan_in(self.folder) not in (None, self._plan):
            raise JobError(f"{self.folder} holds an unfinished {other}: repeat its command, or delete it")
        for abandoned in self.folder.rglob(".tmp-*"):
            abandoned.unlink(missing_ok=True)
        self.write(self._plan_name, self._plan)

    def has(self, name: str) -> bool:
        """Whether a file is there, and so whole."""
        return self.path(name).is_file()

    def path(self, name: str) -> Path:
        """Where a file is for now."""
        return self.folder / name

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.open(name) as file:
            file.write(content)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A new file, which gets its name at the end of the block; StorageError if it cannot be written."""
        path = self.place(name)
        temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(path)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def place(self, name: str) -> Path:
        """Where a file is to be, in a folder that is there; StorageError if it cannot be made."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {path.parent}: {error.strerror}") from error
        return path

    def plan_in(self, folder: Path) -> bytes | None:
        """The plan that lies in a folder, if one can be read there."""
        try:
            return (folder / self._plan_name).read_bytes()
        except OSError:
            return None
