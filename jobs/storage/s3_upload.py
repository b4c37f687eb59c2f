"""Large objects on S3: sent part by part, each of which is repeated alone."""

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from typing import Any, BinaryIO

from jobs.errors import StorageError

PARTS_AT_ONCE = 4
_CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME")
Send = Callable[[Callable[[], Any]], Any]
"""Sends a request, if need be again and again; StorageError if it fails for good."""


class UnknownUploadError(StorageError):
    """The server knows no such upload: so a completed one is answered whose first acknowledgement was lost."""


class PartUpload:
    """One upload of a file to ``place``, a bucket and a key; nothing is left of it if it fails."""

    def __init__(self, client: Any, place: Mapping[str, str], send: Send) -> None:
        self._client, self._place, self._send = client, dict(place), send
        self._one_at_a_time = threading.Lock()
        self._is_given_up = False

    def write(self, file: BinaryIO, part_bytes: int, content_type: str) -> None:
        """Write the whole file."""
        parts = range(1, -(-file.seek(0, os.SEEK_END) // part_bytes) + 1)
        begin = {**self._place, "ContentType": content_type}
        upload = {
            **self._place,
            "UploadId": self._send(lambda: self._client.create_multipart_upload(**begin)["UploadId"]),
        }
        try:
            with ThreadPool(PARTS_AT_ONCE) as pool:  # An error is raised when none is under way; Ctrl-C at once.
                sent = pool.map(lambda number: self._part(upload, file, number, part_bytes), parts, chunksize=1)
            self._send(lambda: self._complete({**upload, "MultipartUpload": {"Parts": sent}}))
        except BaseException:
            with suppress(Exception):  # Tried once: what is left is found among the leftovers.
                self._client.abort_multipart_upload(**upload)
            raise

    def _part(self, upload: Mapping[str, Any], file: BinaryIO, number: int, part_bytes: int) -> dict[str, Any]:
        if self._is_given_up:
            return {}
        with self._one_at_a_time:
            file.seek((number - 1) * part_bytes)
            data = file.read(part_bytes)
        part = {**upload, "PartNumber": number, "Body": data, **content_digest(self._client, data)}
        try:
            answer = self._send(lambda: self._client.upload_part(**part))
        except BaseException:
            self._is_given_up = True
            raise
        # What was checked by a checksum must be completed with it.
        sums = {name: answer[name] for name in _CHECKSUMS if name in answer}
        return {"PartNumber": number, "ETag": answer["ETag"], **sums}

    def _complete(self, upload: Mapping[str, Any]) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.complete_multipart_upload(**upload)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise
            raise UnknownUploadError(f"the upload in parts of {upload['Key']} is unknown") from None


def content_digest(client: Any, data: bytes) -> dict[str, str]:
    """What a request says its content is checked by, if botocore sends no checksum with it."""
    if client.meta.config.request_checksum_calculation != "when_required":
        return {}
    return {"ContentMD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
