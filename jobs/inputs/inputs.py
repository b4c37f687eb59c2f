"""What a run reads: local files, and S3 objects that are copied to this machine when they are needed."""

import fcntl
import hashlib
import os
import re
import stat
import threading
import unicodedata
import uuid
from functools import lru_cache, partial
from pathlib import Path

from jobs.errors import InputError, JobError, UnavailableError
from jobs.inputs.input_cache import InputCache
from jobs.storage import Listed, S3Access, without_file_scheme
from jobs.storage.s3_names import bucket_and_key
from jobs.storage.s3_storage import S3Storage

CACHE_BYTES = 1 << 30
MODEL_OBJECTS = 1000
"""A model directory has fewer objects; a prefix with more is something else."""

_NAME = r"[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*"
_MODEL_OBJECT = re.compile(
    rf"(config|codec|card)\.json|{_NAME}\.(safetensors|md|txt)|LICEN[CS]E|NOTICE|prompts/{_NAME}"
)
"""What a model directory holds, weights, card, licence and prompts, by its keys."""

_S3 = "s3://"
_resolved = lru_cache(4096)(os.path.realpath)


class Inputs:
    """Where files are found, and which ones a manifest may name.

    A manifest may come from elsewhere. What it names lies in its own folder, in one of ``roots`` (local
    folders), or on S3; symbolic links are followed before that is decided.
    """

    def __init__(self, roots: tuple[str, ...] = (), s3: S3Access | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.roots, self.cache_bytes = roots, cache_bytes
        self.s3 = (s3 or S3Access()).chosen()
        self._storages: dict[str, S3Storage] = {}
        self._one_at_a_time = threading.Lock()
        self._copies: InputCache | None = None

    def __reduce__(self) -> tuple[type["Inputs"], tuple[tuple[str, ...], S3Access, int]]:
        # The copies belong to a process.
        return Inputs, (self.roots, self.s3, self.cache_bytes)

    def local(self, location: str, folder: str | None = None) -> Path:
        """The file at a location, or a copy of the object there.

        ``folder`` is that of the manifest or prompt bank which names the location: a relative one lies in it.
        Without a folder the user has named it, and it may lie anywhere. InputError if it may not be read, or if
        there is no such object; StorageError if S3 cannot be read at all.
        """
        found = self._find(location, folder)
        if not is_s3(found):
            return Path(found)
        storage, keys = self._storage(found)
        problems = []
        for key in keys:
            try:
                return self._cache.get(found, partial(storage.copy, key))
            except UnavailableError as error:
                problems.append(str(error))
        raise InputError(problems[0])

    def exists(self, location: str, folder: str | None = None) -> bool:
        """Whether there is a file or an object; InputError if it may not be read."""
        found = self._find(location, folder)
        if not is_s3(found):
            return os.path.isfile(found)  # noqa: PTH113 - a name that is too long is not an error.
        storage, keys = self._storage(found)
        try:
            return any(map(storage.exists, keys))
        except UnavailableError as error:
            raise InputError(str(error)) from None

    def directory(self, location: str) -> Path:
        """A model directory, or a copy of the one on S3, which is kept and made anew when it changes there.

        Of a prefix, which may be somebody else's, only what a model directory has is copied: no other name becomes
        a path on this machine.
        """
        # It imports torch, which processes that read MIDI files alone need not wait for.
        from renderer.weights.published import cache_directory

        if not is_s3(location):
            return Path(location)
        storage = S3Storage.at(location, self.s3)
        objects: list[Listed] = []
        for found in storage.listing():
            if len(objects) == MODEL_OBJECTS:
                raise JobError(f"{location} holds more than {MODEL_OBJECTS:,} objects; it is not a model directory")
            objects.append(found)
        objects = [found for found in objects if _MODEL_OBJECT.fullmatch(found.key)]
        if not any(found.key == "config.json" for found in objects):
            raise JobError(f"{location} is not a model directory: it has no config.json")
        content = sorted((found.key, found.bytes, found.modified) for found in objects)
        digest = hashlib.sha256(repr((storage.uri, content)).encode()).hexdigest()[:32]
        folder = cache_directory() / "s3" / digest
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # The actors of a machine need one copy.
            if not folder.is_dir():
                unfinished = folder.with_name(f".partial-{uuid.uuid4().hex}")
                for found in objects:
                    path = unfinished / found.key
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("w+b") as file:
                        storage.copy(found.key, file)
                unfinished.rename(folder)
        return folder

    def _find(self, location: str, folder: str | None) -> str:
        """The absolute location, if it may be read."""
        if is_s3(location):
            return location
        try:
            location = without_file_scheme(location)
        except JobError as error:
            raise InputError(str(error)) from None
        if "://" in location:
            raise InputError(f"{location}: neither a file nor on S3")
        if folder is None:
            return _as_on_disk(location)
        if is_s3(folder) and not location.startswith("/"):
            return _joined(folder, location)
        path = _as_on_disk(os.path.join(folder, location))  # noqa: PTH118 - a Path costs more than all else here.
        roots = self.roots if is_s3(folder) else (_resolved(folder), *self.roots)
        real = _real_path(path)
        if not any(f"{real}/".startswith(f"{root.rstrip('/')}/") for root in roots):
            raise InputError(
                f"{location}: lies outside the folders that may be read ({', '.join(roots) or 'none, but S3'}); "
                "if it is meant to be read, give its folder with --allow-root"
            )
        if _is_special(real):
            raise InputError(f"{location}: not a regular file")
        return path

    def _storage(self, location: str) -> tuple[S3Storage, list[str]]:
        """Where an object lies, and its key: as it is named, or else with its accents composed in another way."""
        bucket, key = bucket_and_key(location)
        if not key or ".." in key.split("/"):
            raise InputError(f"{location}: names no object")
        if bucket not in self._storages:
            self._storages[bucket] = S3Storage.at(f"{_S3}{bucket}", self.s3)
        return self._storages[bucket], _compositions(key)

    @property
    def _cache(self) -> InputCache:
        with self._one_at_a_time:  # Of two, one would be removed with what is in it.
            if self._copies is None:
                self._copies = InputCache(self.cache_bytes)
            return self._copies


def is_s3(location: str) -> bool:
    """Whether a location is on S3."""
    return location.startswith(_S3)


def absolute(location: str) -> str:
    """The location as it is for processes that work in another folder; JobError if it is neither file nor S3."""
    if is_s3(location):
        return location
    location = without_file_scheme(location)
    if "://" in location:
        raise JobError(f"{location}: only local files and s3:// can be used")
    return str(Path(location).absolute())


def folder_of(location: str) -> str:
    """The folder or prefix that an absolute location lies in."""
    return location.rpartition("/")[0] or "/"


def _as_on_disk(path: str) -> str:
    """The path, or where nothing has this name, the one whose accents are composed in another way (NFC, NFD)."""
    if path.isascii() or os.path.lexists(path):
        return path
    found = ""
    for part in path.split("/"):
        found += next((way for way in _compositions(part) if os.path.lexists(f"{found}{way}")), part) + "/"
    return found[:-1]


def _compositions(name: str) -> list[str]:
    """A name as it is, and, where that is not the same, with its accents composed (NFC) and decomposed (NFD)."""
    return list(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


def _real_path(path: str) -> str:
    """The path without symbolic links; of many files in a folder, the folder is resolved once."""
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return f"{_resolved(folder).rstrip('/')}/{name}"


def _is_special(path: str) -> bool:
    """Whether this is a pipe or a device, which may never end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _joined(folder: str, location: str) -> str:
    """A relative location in an S3 prefix, of which it may leave every folder, but not the bucket.

    Slashes are part of keys: two in a row, or one at the beginning, stay.
    """
    bucket, slash, prefix = folder.removeprefix(_S3).partition("/")
    parts = prefix.split("/") if slash else []
    for part in location.split("/"):
        if part == ".." and not parts:
            raise InputError(f"{location}: leads out of {_S3}{bucket}")
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return f"{_S3}{bucket}/{'/'.join(parts)}"
