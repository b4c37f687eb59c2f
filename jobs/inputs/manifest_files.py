"""The files that a manifest consists of, wherever they are."""

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, absolute, is_s3
from jobs.storage.s3_storage import S3Storage
from renderer.file_hash import file_hash
from schemas.manifest import Manifest
from schemas.manifest_parts import SUFFIXES, is_manifest_name, open_manifest
from schemas.midi_files import FILES_SUFFIX

_MAGIC = "*?["


@dataclass(frozen=True)
class ManifestFiles:
    """A manifest: a file, all files of a folder, or those that a pattern names, as ``rows/part-*.parquet``.

    ``location`` is absolute, a folder's ends with ``/*``; what rows name is relative to the folder it lies in.
    ``paths`` are the files, or ``inputs``' copies of them, in the order of their names.
    """

    location: str
    paths: tuple[Path, ...]
    inputs: Inputs

    @classmethod
    def find(cls, location: str, inputs: Inputs) -> "ManifestFiles":
        """The files at a location on this machine or on S3; JobError if there are none."""
        location = _whole(absolute(location), inputs)
        if not _is_pattern(location, inputs):
            return cls(location, (inputs.local(location),), inputs)
        folder, _, pattern = location.rpartition("/")
        if any(sign in folder for sign in _MAGIC):
            raise JobError(f"{location}: only the last part may hold * ? or [, so that all files lie in one folder")
        names = sorted(name for name in _names(folder, inputs) if fnmatch.fnmatchcase(name, pattern))
        if pattern == "*":
            names = [name for name in names if is_manifest_name(name)]
        if not names:
            raise JobError(f"{location}: there are no files that can be a manifest ({', '.join(SUFFIXES)})")
        if wrong := [name for name in names if not is_manifest_name(name)]:
            raise JobError(f"{location}: {wrong[0]!r} is no manifest; known are {', '.join(SUFFIXES)}")
        return cls(location, tuple(inputs.local(f"{folder}/{name}") for name in names), inputs)

    def open(self) -> Manifest:
        """The rows of all files; ManifestError if they are not a manifest's."""
        return open_manifest(self.paths, self.location)

    def sha256(self) -> str:
        """A hash of the content; of several files, of their contents in order."""
        hashes = [file_hash(path) for path in self.paths]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def state(self) -> list[tuple[int, int, int]]:
        """What changes when a file is written anew; FileNotFoundError if one is gone."""
        status = (os.stat(path) for path in self.paths)  # noqa: PTH116
        return [(found.st_ino, found.st_size, found.st_mtime_ns) for found in status]


def _whole(location: str, inputs: Inputs) -> str:
    """The location, for a folder that of all in it."""
    if not is_s3(location):
        return f"{location.rstrip('/')}/*" if Path(location).is_dir() else location
    if location.endswith("/"):
        return f"{location}*"
    is_prefix = not (is_manifest_name(location) or _is_pattern(location, inputs)) and not inputs.exists(location)
    return f"{location}/*" if is_prefix else location


def _is_pattern(location: str, inputs: Inputs) -> bool:
    """Whether it names files by a pattern; one that is a file's own name does not."""
    return any(sign in location for sign in _MAGIC) and not inputs.exists(location)


def _names(folder: str, inputs: Inputs) -> Iterator[str]:
    """The files in a folder or right below a prefix, without hidden ones, and the tables beside built manifests."""
    names = _on_s3(folder, inputs) if is_s3(folder) else _local(folder)
    return (name for name in names if name[0] not in "._" and not name.endswith(FILES_SUFFIX))


def _on_s3(folder: str, inputs: Inputs) -> Iterator[str]:
    return (found.key for found in S3Storage.at(folder, inputs.s3).listing() if "/" not in found.key)


def _local(folder: str) -> Iterator[str]:
    if not Path(folder).is_dir():
        raise JobError(f"{folder}: there is no such folder")
    return (path.name for path in Path(folder).iterdir() if path.is_file())
