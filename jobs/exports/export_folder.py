"""A folder that has its name only when it is whole."""

import os
import shutil
from pathlib import Path

from jobs.errors import JobError, StorageError
from jobs.partial_folder import PartialFolder

PLAN_NAME = "export.json"


class ExportFolder(PartialFolder):
    """Files of an export, in a hidden folder beside ``out`` until :meth:`finish`; ``plan`` says what is exported."""

    def __init__(self, out: Path, plan: bytes) -> None:
        self.out = out.absolute()
        super().__init__(self.out.with_name(f".{self.out.name}.partial"), PLAN_NAME, plan)

    def begin(self) -> bool:
        """Make the hidden folder, or find it; False if the export is finished. JobError if another is in its place."""
        if self.out.exists():
            if self.plan_in(self.out) == self._plan:
                return False
            raise JobError(f"{self.out} exists already and is not this export: choose another folder, or delete it")
        self.resume("export that is another one")
        return True

    def link(self, name: str, source: Path) -> None:
        """Make a file of another one, without a second copy of it if the disk can."""
        path = self.place(name)
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

    def finish(self) -> None:
        """Give the folder its name, when all that is in it is durable."""
        os.sync()  # Once: to sync a hundred thousand files one by one takes minutes.
        try:
            self.folder.rename(self.out)
        except OSError as error:
            raise StorageError(f"cannot name {self.folder} {self.out.name}: {error.strerror}") from error
        os.sync()
