"""Copies of remote objects on this machine, bounded in size."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PREFIX = "render-corpus-inputs-"
KEPT = 4
"""So many of the latest copies stay, however large they are: their readers may be at it."""

MAX_NAME_CHARACTERS = 100


class InputCache:
    """A folder of this process alone; when it is full, what was used longest ago is removed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._one_at_a_time = threading.Lock()
        _remove_abandoned()
        self.folder, self._lock = _locked_folder()
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def get(self, uri: str, fetch: Callable[[BinaryIO], object]) -> Path:
        """A file with the object's content and, where that is possible, its name; ``fetch`` writes it if need be."""
        path = self.folder / hashlib.sha256(uri.encode()).hexdigest()[:32] / _file_name(uri)
        with self._one_at_a_time:
            if path not in self._sizes:
                path.parent.mkdir(exist_ok=True)
                temporary = path.with_name(".partial")
                with temporary.open("w+b") as file:
                    fetch(file)
                temporary.replace(path)
                self._sizes[path] = path.stat().st_size
            self._sizes.move_to_end(path)
            self._shrink()
        return path

    def _shrink(self) -> None:
        total = sum(self._sizes.values())
        while total > self._max_bytes and len(self._sizes) > KEPT:
            path, size = self._sizes.popitem(last=False)
            shutil.rmtree(path.parent, ignore_errors=True)
            total -= size


def _file_name(uri: str) -> str:
    name = uri.rpartition("/")[2]
    return name if name.isprintable() and 0 < len(name) <= MAX_NAME_CHARACTERS and name[0] != "." else "content"


def _locked_folder() -> tuple[Path, BinaryIO]:
    """A new folder, locked for as long as this process lives."""
    hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    lock = (hidden / ".lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Only now can others find it.
    return hidden.rename(hidden.with_name(hidden.name[1:])), lock


def _remove_abandoned() -> None:
    """Remove the folders of processes that were killed: nobody holds their locks."""
    for entry in os.scandir(tempfile.gettempdir()):
        if not entry.name.startswith(PREFIX) or entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            continue
        try:
            with (Path(entry.path) / ".lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
        except OSError:  # In use, or removed by another process.
            continue
