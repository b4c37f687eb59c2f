"""Whether an S3 server gives back what it was given: some store the framing of a request as if it were content."""

import io
import os
import re
from contextlib import suppress
from typing import BinaryIO, Protocol

from jobs.errors import StorageError, UnavailableError
from jobs.storage.storage import Storage

SMALL_BYTES = 1000
SMALLEST_PART_BYTES = 5 << 20
"""No server takes smaller parts, but for the last."""

SETTING = "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
_FRAMING = re.compile(rb"[0-9a-f]+(;chunk-signature=[0-9a-f]+)?\r\n")


class PartsStorage(Storage, Protocol):
    """A storage that can be asked to write in parts."""

    def write_parts(self, key: str, file: BinaryIO, part_bytes: int) -> None:
        """Write the object from a file, in parts of that size."""
        ...


def check_round_trip(storage: PartsStorage, key: str, sends_trailers: bool) -> None:
    """Write objects as a run does, in one request and in parts, and compare what comes back; StorageError if it is not.

    Nothing is left under the key.
    """
    small, large = os.urandom(SMALL_BYTES), os.urandom(SMALLEST_PART_BYTES + SMALL_BYTES)
    try:
        storage.write(key, small)
        _compare(storage, key, small, "in one request")
        storage.write_parts(key, io.BytesIO(large), SMALLEST_PART_BYTES)
        _compare(storage, key, large, "in parts")
    except UnavailableError:
        raise
    except StorageError as error:
        advice = f" (a server that knows no trailing checksums needs {SETTING} in the environment)"
        raise StorageError(f"{error}{advice if sends_trailers else ''}") from None
    finally:
        with suppress(StorageError):  # As where nothing could be written.
            storage.delete(key)


def _compare(storage: Storage, key: str, written: bytes, how: str) -> None:
    read = storage.read(key)
    if read == written:
        return
    what = (
        "keeps the framing of requests (aws-chunked) as if it were content"
        if _FRAMING.match(read)
        else f"gave back {len(read):,} other bytes than the {len(written):,} that were written {how}"
    )
    raise StorageError(f"{storage.uri}: this server {what}; nothing that is written to it would be whole")
