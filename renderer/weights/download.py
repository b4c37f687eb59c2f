"""Large files over HTTP: resumed where they stopped, checked, and only then put in place."""

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar

from renderer.errors import CheckpointError
from renderer.patience import Patience, Persistence

ProgressCallback = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""

_Result = TypeVar("_Result")

PATIENCE = Patience(seconds=120.0, first_pause=2.0, throttled_pause=2.0, longest_pause=60.0)
"""People wait for a download, so it is given up sooner than a storage in a run of days."""

_CHUNK = 1 << 20
_LARGEST_DOCUMENT = 8 << 20
_TIMEOUT_SECONDS = 30.0
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416


class DownloadError(CheckpointError):
    """A file that the network does not give, or not as promised."""


class _TransientError(Exception):
    """A fault that another try may get past."""

    def __init__(self, fault: str, retry_after: float = 0.0) -> None:
        super().__init__(fault)
        self.retry_after = retry_after


def download(
    url: str,
    target: Path,
    *,
    size: int,
    md5: str,
    progress: ProgressCallback | None = None,
    patience: Patience = PATIENCE,
) -> None:
    """Fetches ``url`` to ``target``, which exists afterwards only with ``size`` bytes and checksum ``md5``.

    What was received lies in ``<target>.part`` until it is verified, and an interrupted download goes on from
    there, in this call or a later one. A ``target`` that is already right is left alone. DownloadError if the
    server cannot be reached, refuses, or gives something else than was promised; CheckpointError if there is
    no room or no permission to write.
    """
    part = target.with_name(target.name + ".part")
    try:
        if target.is_file() and target.stat().st_size == size and _md5(target) == md5:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            _check_room(part, size - file.tell())
            transfer = _Transfer(url, file, size, progress or (lambda done, total: None))
            _retrying(url, transfer.go_on, patience, lambda: transfer.received)
            file.flush()
            os.fsync(file.fileno())
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise DownloadError(
                f"{url}: wrong checksum: expected md5 {md5}, found {found}; the file was deleted, try again."
            )
        part.replace(target)
    except OSError as error:
        raise CheckpointError(f"Cannot write {part}: {error.strerror or error}.") from error


def fetch(url: str, patience: Patience = PATIENCE) -> bytes:
    """A small document, whole; DownloadError if it cannot be had."""

    def request() -> bytes:
        with contextlib.closing(_open(url, {})) as response:
            body = _read(response, _LARGEST_DOCUMENT + 1)
        if len(body) > _LARGEST_DOCUMENT:
            raise DownloadError(f"{url}: expected a small document, found more than {_LARGEST_DOCUMENT} bytes.")
        stated = response.headers.get("Content-Length")
        if stated is not None and stated.isdigit() and len(body) < int(stated):
            raise _TransientError(f"the connection closed after {len(body)} of {stated} bytes")
        return body

    return _retrying(url, request, patience)


class _Transfer:
    """What is still missing of one file, asked for again and again until it is all there."""

    def __init__(self, url: str, file: BinaryIO, size: int, progress: ProgressCallback) -> None:
        self._url = url
        self._file = file
        self._size = size
        self._progress = progress
        self._etag: str | None = None
        self.received = 0

    def go_on(self) -> None:
        """Appends what the server sends until nothing is missing, or raises."""
        offset = self._file.tell()
        self._progress(offset, self._size)
        if offset == self._size:
            return
        with contextlib.closing(self._request(offset)) as response:
            while chunk := _read(response, _CHUNK):
                if self._file.tell() + len(chunk) > self._size:
                    self._restart()
                    raise DownloadError(f"{self._url}: expected {self._size} bytes, the server sends more.")
                self._file.write(chunk)
                self.received += len(chunk)
                self._progress(self._file.tell(), self._size)
        done = self._file.tell()
        if done < self._size:
            raise _TransientError(f"the connection closed after {done} of {self._size} bytes")

    def _request(self, offset: int) -> http.client.HTTPResponse:
        """A response whose body is the file from the present end of ``self._file`` on."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and self._etag:
            headers["If-Range"] = self._etag
        try:
            response = _open(self._url, headers)
        except _RangeRefusedError:
            self._restart()
            raise _TransientError(f"the server has no byte {offset} of {self._size}") from None
        etag = response.headers.get("ETag")
        # A weak tag may stay the same while bytes change, so it is no ground to resume on.
        self._etag = etag if etag and not etag.startswith("W/") else None
        if response.status == http.client.PARTIAL_CONTENT:
            start, total = _content_range(response)
        else:
            length = response.headers.get("Content-Length", "")
            start, total = 0, int(length) if length.isdigit() else None
        if total is not None and total != self._size:
            response.close()
            kind = response.headers.get("Content-Type", "unknown type")
            raise DownloadError(f"{self._url}: expected {self._size} bytes, the server has {total} ({kind}).")
        if start != offset:
            self._restart()
        if start not in (0, offset):
            response.close()
            raise _TransientError(f"asked for bytes from {offset} on, the server sent those from {start} on")
        return response

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()


class _RangeRefusedError(Exception):
    """The server answered 416: there is nothing from the wanted byte on."""


def _retrying(
    url: str, request: Callable[[], _Result], patience: Patience, received: Callable[[], int] = lambda: 0
) -> _Result:
    """What a request gives; a server that asks to be left alone (Retry-After) is, as long as patience allows."""
    persistence = Persistence(
        patience,
        lambda error: "silent" if isinstance(error, _TransientError) else None,
        asked=lambda error: min(patience.longest_pause, getattr(error, "retry_after", 0.0)),
    )
    try:
        return persistence.send(request, received)
    except _TransientError as fault:
        raise DownloadError("; ".join([f"{url}: {fault}", *fault.__notes__]) + ".") from fault


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url}: only http and https addresses can be downloaded.")
    request = urllib.request.Request(url, headers={"User-Agent": "render-corpus", **headers})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _RANGE_NOT_SATISFIABLE and "Range" in headers:
            raise _RangeRefusedError from error
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in _TRANSIENT_STATUS:
            seconds = error.headers.get("Retry-After", "")
            raise _TransientError(answer, retry_after=float(seconds) if seconds.isdigit() else 0.0) from error
        raise DownloadError(f"{url}: {answer}.") from error
    except (OSError, http.client.HTTPException) as error:
        _raise_connection_fault(url, error)
    return response


def _raise_connection_fault(url: str, error: Exception) -> NoReturn:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        raise DownloadError(f"{url}: the server's name cannot be resolved; is this machine online?") from error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise DownloadError(f"{url}: the server's certificate is not valid: {reason.verify_message}.") from error
    raise _TransientError(f"no connection: {reason}") from error


def _read(response: http.client.HTTPResponse, count: int) -> bytes:
    try:
        return response.read(count)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException) as error:
        raise _TransientError(f"the connection broke: {error}") from error


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """(first byte, bytes in the whole file or None) of a 206 answer; (-1, None) where it does not say."""
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if stated is None:
        return -1, None
    return int(stated[1]), None if stated[2] == "*" else int(stated[2])


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise CheckpointError(
            f"Not enough room in {part.parent}: {needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB free."
        )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
