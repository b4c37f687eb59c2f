"""A bucket of Amazon S3, or of another server that speaks its protocol, as a storage."""

import io
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from jobs.errors import JobError
from jobs.storage.s3_errors import code, refusals, status
from jobs.storage.storage import Listed, checked_key

REQUEST_ATTEMPTS = 12
"""So often botocore sends a request that failed for no fault of ours. Its pauses double from 50 ms, half of that on
average, up to 20 s: about half a minute in all, in which a server can start again."""

READ_ATTEMPTS = 6
"""So often a body is asked for: botocore does not repeat a read that was cut short."""

CREATE_ATTEMPTS = 5
CONFLICT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 409, 412, 416
WRITE_ATTEMPTS = 3
MULTIPART_BYTES = 32 << 20
PART_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20
IN_MEMORY_BYTES = 8 << 20
MOST_CONNECTIONS = 32
"""Kept open for the threads that use a storage side by side."""

_CONTENT_TYPES = {"html": "text/html; charset=utf-8", "flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg"}
_CONTENT_TYPES |= {"ogg": "audio/ogg", "opus": "audio/ogg", "mid": "audio/midi", "json": "application/json"}
"""By the end of a key, so that browsers show and play what can be shown and played."""


@dataclass(frozen=True)
class S3Storage:
    """The keys of a bucket under a prefix.

    Credentials are found by the usual AWS chain (environment, profile, role of the machine) in each process
    that uses the storage; they are no part of it, so they do not travel with it.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None

    @classmethod
    def at(cls, location: str, endpoint_url: str | None = None) -> "S3Storage":
        """The storage at ``s3://bucket/prefix``."""
        bucket, prefix = bucket_and_key(location)
        return cls(bucket, prefix.removesuffix("/"), chosen_endpoint(endpoint_url))

    def __reduce__(self) -> tuple[type["S3Storage"], tuple[str, str, str | None]]:
        # A client holds connections and credentials: each process makes its own.
        return S3Storage, (self.bucket, self.prefix, self.endpoint_url)

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return self._uri("").rstrip("/")

    def read(self, key: str) -> bytes:
        """The object's content."""
        content = io.BytesIO()
        self.copy(key, content)
        return content.getvalue()

    def open(self, key: str) -> BinaryIO:
        """A copy of the object; a large one is kept on disk until it is closed."""
        content: Any = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it.
        try:
            self.copy(key, content)
        except BaseException:
            content.close()
            raise
        content.seek(0)
        file: BinaryIO = content
        return file

    def copy(self, key: str, file: BinaryIO) -> None:
        """Write the object's content to an empty file; a read that is cut short goes on where it was."""
        from botocore.exceptions import ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

        etag = ""
        with self._refusals("read", key):
            for attempt in range(1, READ_ATTEMPTS + 1):
                # What is added to the first part must be of the same content.
                rest = {"Range": f"bytes={file.tell()}-", "IfMatch": etag} if file.tell() else {}
                try:
                    response = self._client.get_object(Bucket=self.bucket, Key=self._key(key), **rest)
                    etag = response["ETag"]
                    for chunk in response["Body"].iter_chunks(CHUNK_BYTES):
                        file.write(chunk)
                    return
                except (IncompleteReadError, HTTPClientError):
                    if attempt == READ_ATTEMPTS:
                        raise
                except (FlexibleChecksumError, ClientError) as error:
                    other = isinstance(error, FlexibleChecksumError) or status(error) in (
                        PRECONDITION_FAILED,
                        RANGE_NOT_SATISFIABLE,
                    )
                    if not other or attempt == READ_ATTEMPTS:
                        raise
                    file.seek(0)
                    file.truncate()
                _pause(attempt)

    def size(self, key: str) -> int | None:
        """The object's bytes; None if there is none."""
        from botocore.exceptions import ClientError

        with self._refusals("look for", key):
            try:
                size: int = self._client.head_object(Bucket=self.bucket, Key=self._key(key))["ContentLength"]
            except ClientError as error:
                if code(error) in ("404", "NoSuchKey"):
                    return None
                raise
            return size

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self.size(key) is not None

    def write(self, key: str, data: bytes) -> None:
        """Write the object, in place of any there is; a large one in parts, which are retried one by one."""
        if len(data) >= MULTIPART_BYTES:
            self.write_file(key, io.BytesIO(data))
            return
        with self._refusals("write", key):
            self._client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, ContentType=_content_type(key))

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Write the object from a file, part by part if it is large."""
        from botocore.exceptions import ClientError

        if file.seek(0, os.SEEK_END) < MULTIPART_BYTES:
            file.seek(0)
            self.write(key, file.read())
            return
        with self._refusals("write", key):
            for attempt in range(1, WRITE_ATTEMPTS + 1):
                try:
                    file.seek(0)
                    self._client.upload_fileobj(file, self.bucket, self._key(key), Config=_parts())
                    return
                except ClientError as error:
                    # So a completed upload is answered whose first acknowledgement was lost.
                    if code(error) != "NoSuchUpload" or attempt == WRITE_ATTEMPTS:
                        raise

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if there is none; False if there is.

        When an acknowledgement is lost, the request is repeated and finds what it wrote itself. So whoever
        finds its own bytes has won: contents of several writers must differ, as commit markers do.
        """
        from botocore.exceptions import ClientError

        with self._refusals("create", key):
            for attempt in range(1, CREATE_ATTEMPTS + 1):
                try:
                    self._client.put_object(
                        Bucket=self.bucket,
                        Key=self._key(key),
                        Body=data,
                        ContentType=_content_type(key),
                        IfNoneMatch="*",
                    )
                    return True
                except ClientError as error:
                    if status(error) == PRECONDITION_FAILED:
                        return self.read(key) == data
                    if status(error) != CONFLICT or attempt == CREATE_ATTEMPTS:
                        raise
                _pause(attempt)  # Another writer was at it in the same moment, and may yet fail.
        raise AssertionError("unreachable")

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys under a folder, page by page."""
        return (found.key for found in self._listed(prefix))

    def listing(self) -> Iterator[Listed]:
        """All objects, with their sizes and times, page by page."""
        return self._listed("")

    def links(self) -> Iterator[str]:
        """None: a bucket has no links."""
        return iter(())

    def _listed(self, prefix: str) -> Iterator[Listed]:
        for entry in self._pages("list_objects_v2", "Contents", prefix):
            if not entry["Key"].endswith("/"):  # Consoles show an empty object of such a name as a folder.
                yield Listed(self._relative(entry["Key"]), entry["Size"], entry["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        with self._refusals("delete", key):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def leftovers(self) -> Iterator[Listed]:
        """Uploads in parts that were begun and never finished, and those under way; their sizes are unknown: 0."""
        for entry in self._pages("list_multipart_uploads", "Uploads"):
            yield Listed(self._relative(entry["Key"]), 0, entry["Initiated"].timestamp())

    def discard(self, leftover: Listed) -> None:
        """Abort the unfinished uploads of an object that were begun when this one was, or before."""
        for entry in self._pages("list_multipart_uploads", "Uploads"):
            same = self._relative(entry["Key"]) == leftover.key
            if same and entry["Initiated"].timestamp() <= leftover.modified:
                with self._refusals("abort the upload of", leftover.key):
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=entry["Key"], UploadId=entry["UploadId"]
                    )

    def _pages(self, operation: str, entries: str, prefix: str = "") -> Iterator[Any]:
        top = self._key(f"{prefix.rstrip('/')}/" if prefix else "")
        with self._refusals("list", prefix):
            for page in self._client.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=top):
                yield from page.get(entries, ())

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.session.Session()
        return session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            # The region says nothing to other servers, but signatures need one.
            region_name=session.region_name or ("us-east-1" if self.endpoint_url else None),
            config=Config(
                retries={"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS},
                max_pool_connections=MOST_CONNECTIONS,
                connect_timeout=10,
                read_timeout=60,
                s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            ),
        )

    def _key(self, key: str) -> str:
        checked = checked_key(key)
        return f"{self.prefix}/{checked}" if self.prefix else checked

    def _relative(self, key: str) -> str:
        return key[len(self.prefix) + 1 :] if self.prefix else key

    def _uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def _refusals(self, action: str, key: str) -> AbstractContextManager[None]:
        return refusals(f"cannot {action} {self._uri(key)}")


def bucket_and_key(location: str) -> tuple[str, str]:
    """The parts of ``s3://bucket/key``; JobError if it names no bucket."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket:
        raise JobError(f"{location}: names no bucket; it must be s3://bucket/prefix")
    return bucket, key


def chosen_endpoint(url: str | None) -> str | None:
    """The S3 server: the one given, else the environment's, else (None) Amazon's; JobError if it cannot be one.

    It is chosen where the run is begun: the environment of other machines does not have it.
    """
    url = url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not url:
        return None
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise JobError("the S3 endpoint URL holds a user name; credentials belong in the AWS environment or profile")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise JobError(f"{url}: not an S3 endpoint URL; it must begin with http:// or https://")
    return url


def _content_type(key: str) -> str:
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def _parts() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


def _pause(attempt: int) -> None:
    """A growing pause, of a different length for each of many who wait."""
    time.sleep(min(10.0, 0.2 * 2**attempt) * random.uniform(0.5, 1.0))
