"""Where MIDI files are: under folders and S3 prefixes, or what patterns name."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from jobs.console import say
from jobs.inputs.inputs import is_s3
from jobs.run_directory.run_directory import RUN_KEY, STATE_FOLDER
from jobs.storage import S3Access
from jobs.storage.s3_storage import S3Storage

SUFFIXES = (".mid", ".midi")
_MAGIC = "*?["


def is_midi_name(name: str) -> bool:
    """Whether a file of this name is taken for a MIDI file; hidden ones are not."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_pattern(location: str) -> bool:
    """Whether a location names files by ``*``, ``?`` or ``[``; ``**`` stands for any folders."""
    return any(sign in location for sign in _MAGIC)


def in_folder(location: str, s3: S3Access) -> list[str]:
    """All MIDI files under an absolute folder or S3 prefix, as sorted relative paths.

    Folders of runs below it are passed over, which is said.
    """
    found = _keys(location, s3) if is_s3(location) else _walk(Path(location))
    return in_order(found)


def matching(pattern: str, s3: S3Access) -> tuple[str, list[str]]:
    """The folder before a pattern's first sign, and the files in it that match; of folders that match, all."""
    parts = pattern.split("/")
    first = next(place for place, part in enumerate(parts) if is_pattern(part))
    folder, rest = "/".join(parts[:first]) or "/", parts[first:]
    if is_s3(pattern):
        keys = _keys(folder, s3)
        found: Iterable[str] = (key for key in keys if _matches(key.split("/"), rest))
    else:
        found = _glob(Path(folder), "/".join(rest))
    return folder, in_order(set(found))


def in_order(names: Iterable[str]) -> list[str]:
    """Relative paths, sorted folder by folder, as no file system lists them."""
    return sorted(names, key=lambda name: name.split("/"))


def _walk(folder: Path) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        say(f"warning: {error.filename}: passed over, because it cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        inner = [Path(parent) / name for name in sorted(folders)]
        folders[:] = [path.name for path in inner if not _is_run(path)]
        _tell(path for path in inner if _is_run(path))
        for name in filter(is_midi_name, names):
            path = Path(parent) / name
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def _glob(folder: Path, pattern: str) -> Iterator[str]:
    is_run = lru_cache(None)(lambda name: _is_run(folder / name))
    runs: set[str] = set()
    # What Path.glob makes of ** depends on Python's version.
    for name in (found.rstrip("/") for found in glob.glob(pattern, root_dir=folder, recursive=True)):  # noqa: PTH207
        path = folder / name
        is_folder = path.is_dir()
        if run := _run_around(f"{name}/" if is_folder else name, is_run):
            runs.add(run)
        elif is_folder and not pattern.endswith("**"):
            yield from (f"{name}/{inner}" for inner in _walk(path))
        elif is_midi_name(name) and path.is_file():
            yield name
    _tell(folder / run for run in sorted(runs))


def _keys(location: str, s3: S3Access) -> Iterator[str]:
    keys = list(S3Storage.at(location, s3).keys())
    folders = {key.removesuffix(RUN_KEY) for key in keys if PurePosixPath(key).name == RUN_KEY} - {""}
    with_state = {key[: key.index(f"/{STATE_FOLDER}/") + 1] for key in keys if f"/{STATE_FOLDER}/" in key}
    runs = {folder.rstrip("/") for folder in folders & with_state}
    _tell(f"{location.rstrip('/')}/{run}" for run in sorted(runs))
    return (key for key in keys if is_midi_name(key) and not _run_around(key, runs.__contains__))


def _run_around(name: str, is_run: Callable[[str], bool]) -> str | None:
    """The folder of a run that a relative path lies in; a folder's ends with a slash."""
    parts = name.split("/")[:-1]
    folders = ("/".join(parts[: place + 1]) for place in range(len(parts)))
    return next(filter(is_run, folders), None)


def _is_run(folder: Path) -> bool:
    return (folder / RUN_KEY).is_file() and (folder / STATE_FOLDER).is_dir()


def _tell(runs: Iterable[object]) -> None:
    for run in runs:
        say(f"{run}: passed over, because it is the folder of a run")


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether a path, or a folder that it lies in, matches."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
