"""The published MIDI-VALLE weights (Zenodo record 15976272): from a cache, from files, or downloaded."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import CheckpointError
from renderer.file_hash import file_hash
from renderer.weights.download import DownloadError, ProgressCallback, download
from renderer.weights.published_import import LICENCE_NOTE, import_published
from renderer.weights.zenodo import ZenodoRecord

RECORD_URL = "https://zenodo.org/api/records/15976272"
MODEL_FILE = "best-valid-loss.pt"
CODEC_FILE = "compression_32khz_new.bin"
LICENCE_FILE = "LICENSE"

_INSTEAD = (
    f"Instead, fetch {MODEL_FILE} and {CODEC_FILE} of https://zenodo.org/records/15976272 by other means "
    "and give them with --model-file and --codec-file."
)

Announce = Callable[[str], None]
"""Shows a message to the user."""


@dataclass(frozen=True)
class PublishedFiles:
    """The published files on this machine; ``licence`` is the record's own licence file, if there is one."""

    model: Path
    codec: Path
    licence: Path | None = None


def published_directory(
    cache: Path | None = None,
    model_file: Path | None = None,
    codec_file: Path | None = None,
    progress: ProgressCallback | None = None,
    announce: Announce | None = None,
) -> Path:
    """The published weights as a model directory in our format.

    Without files, the record's weights are taken from ``cache`` (``cache_directory()`` by default), or
    downloaded and imported once. A language model and a codec that are given as files are imported into the
    cache, under a name made from their content. ``progress`` is called with how far a download is, ``announce`` what
    the user should read, the licence first of all. CheckpointError if the files cannot be had or are not what
    they should be.
    """
    cache, announce = cache or cache_directory(), announce or _silent
    if (model_file is None) != (codec_file is None):
        missing = "--model-file" if model_file is None else "--codec-file"
        raise CheckpointError(f"{missing} is missing: the language model and the codec must be given together.")
    if model_file and codec_file:
        files = PublishedFiles(model_file, codec_file)
        directory = cache / f"imported-{_sha256(model_file)[:12]}-{_sha256(codec_file)[:12]}"
    else:
        directory = cache / "zenodo-15976272"
        if directory.is_dir():
            return directory
        files = find_or_download(cache, progress, announce)
    if not directory.is_dir():
        note = LICENCE_NOTE if model_file else ""  # It was shown before a download.
        announce(f"{note}Importing {files.model.name} and {files.codec.name} to {directory}")
        try:
            import_published(files.model, files.codec, directory, licence_file=files.licence)
        except CheckpointError:
            if not directory.is_dir():  # Otherwise another process was faster.
                raise
    return directory


def cache_directory() -> Path:
    """Where published weights are kept: the platform's folder for files that can be fetched again."""
    default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or default) / "render-corpus" / "midi-valle"


def find_or_download(
    cache: Path, progress: ProgressCallback | None = None, announce: Announce | None = None
) -> PublishedFiles:
    """The published files in ``cache``; what is not there is downloaded, after the licence was announced.

    CheckpointError if the network or the disk does not allow it; what was received is kept for the next try.
    """
    announce = announce or _silent
    model, codec, licence = (cache / name for name in (MODEL_FILE, CODEC_FILE, LICENCE_FILE))
    with _one_process_at_a_time(cache, announce):
        if not (model.is_file() and codec.is_file()):
            try:
                _download_missing(cache, progress, announce)
            except DownloadError as error:
                raise CheckpointError(f"{error}\n{_INSTEAD}") from error
    return PublishedFiles(model, codec, licence if licence.is_file() else None)


def _download_missing(cache: Path, progress: ProgressCallback | None, announce: Announce) -> None:
    record = ZenodoRecord.fetch(RECORD_URL)
    announce(f"{LICENCE_NOTE}The record states: {record.licence or 'no licence'}.")
    for name in (LICENCE_FILE, CODEC_FILE, MODEL_FILE):
        file = record.file(name)
        if file is not None:
            announce(f"{name} ({file.size / 1e6:.1f} MB) -> {cache}")
            download(file.url, cache / name, size=file.size, md5=file.md5, progress=progress)
        elif name != LICENCE_FILE:
            found = ", ".join(file.name for file in record.files)
            raise DownloadError(f"{RECORD_URL}: expected {name} among its files, found {found or 'none'}.")


@contextlib.contextmanager
def _one_process_at_a_time(folder: Path, announce: Announce) -> Iterator[None]:
    """Two downloads into one folder would write into each other's files; the later process waits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise CheckpointError(f"Cannot write to the cache folder {folder}: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce(f"Waiting for another process that downloads to {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from error


def _silent(message: str) -> None:
    """Where nobody asked for news."""
