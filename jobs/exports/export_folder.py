"""A folder that has its name only when it is whole; what a killed export made of it is gone on with."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jobs.errors import JobError, StorageError

PLAN_NAME = "export.json"


class ExportFolder:
    """Files of an export, in a hidden folder beside ``out`` until :meth:`finish`.

    ``plan`` says what is exported, and lies in the folder as ``export.json``: an export with another plan is not gone
    on with. Each file is whole or not there, so that none need be made twice. Several threads may write.
    """

    def __init__(self, out: Path, plan: bytes) -> None:
        self.out = out.absolute()
        self._partial = self.out.with_name(f".{self.out.name}.partial")
        self._plan = plan

    def begin(self) -> bool:
        """Make the hidden folder, or find it; False if the export is finished. JobError if another is in its place."""
        if self.out.exists():
            if _content(self.out / PLAN_NAME) == self._plan:
                return False
            raise JobError(f"{self.out} exists already and is not this export: choose another folder, or delete it")
        found = _content(self._partial / PLAN_NAME)
        if found is not None and found != self._plan:
            raise JobError(
                f"{self._partial} holds an unfinished export that is another one: repeat its command, or delete it"
            )
        for abandoned in self._partial.rglob(".tmp-*"):
            abandoned.unlink(missing_ok=True)
        self.write(PLAN_NAME, self._plan)
        return True

    def has(self, name: str) -> bool:
        """Whether a file is there, and so whole."""
        return (self._partial / name).is_file()

    def path(self, name: str) -> Path:
        """Where a file of the export is for now."""
        return self._partial / name

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.open(name) as file:
            file.write(content)

    def link(self, name: str, source: Path) -> None:
        """Make a file of another one, without a second copy of it if the disk can."""
        path = self._place(name)
        try:
            os.link(source, path)
        except FileExistsError:
            return
        except OSError:  # Another disk, or one without hard links.
            try:
                with source.open("rb") as content, self.open(name) as file:
                    shutil.copyfileobj(content, file, 1 << 20)
            except FileNotFoundError:
                raise StorageError(f"{source} is missing; midi-valle verify tells what else is") from None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A new file, which gets its name at the end of the block."""
        path = self._place(name)
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

    def finish(self) -> None:
        """Give the folder its name, when all that is in it is durable."""
        os.sync()  # Once: to sync a hundred thousand files one by one takes minutes.
        try:
            self._partial.rename(self.out)
        except OSError as error:
            raise StorageError(f"cannot name {self._partial} {self.out.name}: {error.strerror}") from error
        os.sync()

    def _place(self, name: str) -> Path:
        path = self._partial / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {path.parent}: {error.strerror}") from error
        return path


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
