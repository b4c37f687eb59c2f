"""Manifest and prompt bank, read only while they are what the run began with."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inputs.manifest_files import ManifestFiles
from renderer.file_hash import file_hash
from schemas.manifest import ManifestSlice


class PinnedManifest:
    """A run's manifest. Its rows are the run's, or an error: never those of a file that was changed meanwhile."""

    def __init__(self, location: str, sha256: str, inputs: Inputs) -> None:
        self._files = ManifestFiles.find(location, inputs)
        with _named(location):
            self._seen = self._files.state()
            if self._files.sha256() != sha256:
                raise _changed(location)
        self._manifest = self._files.open()

    def slice(self, first_row: int, row_count: int) -> ManifestSlice:
        """Some rows; JobError if the file is not what it was."""
        try:
            return self._manifest.slice(first_row, row_count)
        finally:
            # A file that is gone is still open here.
            with suppress(FileNotFoundError):
                if self._files.state() != self._seen:
                    raise _changed(self._files.location)


def check_unchanged(location: str, path: Path, sha256: str | None) -> None:
    """JobError if the file, or copy, of what a run reads at ``location`` has another content than it began with."""
    with _named(location):
        if file_hash(path) != sha256:
            raise _changed(location)


@contextmanager
def _named(location: str) -> Iterator[None]:
    """JobError for a file that a worker cannot read, but its driver could."""
    try:
        yield
    except OSError as error:
        raise JobError(
            f"{location} cannot be read ({error.strerror}); every node must find it under this name, as on S3"
        ) from None


def _changed(location: str) -> JobError:
    return JobError(
        f"{location} was changed while the run was under way; the rows of its finished shards are the earlier ones. "
        "Put it back as it was and run the command again"
    )
