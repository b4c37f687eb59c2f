"""Manifest and prompt bank, read only while they are what the run began with."""

import os
from contextlib import suppress
from pathlib import Path

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from renderer.file_hash import file_hash
from schemas.manifest import Manifest, ManifestSlice


class PinnedManifest:
    """A run's manifest. Its rows are the run's, or an error: never those of a file that was changed meanwhile."""

    def __init__(self, location: str, sha256: str, inputs: Inputs) -> None:
        self._location = location
        self._path = inputs.local(location)
        self._seen = _state(self._path)
        check_unchanged(location, self._path, sha256)
        self._manifest = Manifest.open(self._path)

    def slice(self, first_row: int, row_count: int) -> ManifestSlice:
        """Some rows; JobError if the file is not what it was."""
        try:
            return self._manifest.slice(first_row, row_count)
        finally:
            # A file that is gone is still open here.
            with suppress(FileNotFoundError):
                if _state(self._path) != self._seen:
                    raise _changed(self._location)


def check_unchanged(location: str, path: Path, sha256: str | None) -> None:
    """JobError if the file, or copy, of what a run reads at ``location`` has another content than it began with."""
    if file_hash(path) != sha256:
        raise _changed(location)


def _state(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)  # noqa: PTH116
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed(location: str) -> JobError:
    return JobError(
        f"{location} was changed while the run was under way; the rows of its finished shards are the earlier ones. "
        "Put it back as it was and run the command again"
    )
