"""A bucket of Amazon S3, or of another server that speaks its protocol, as a storage."""

import io
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO, TypeVar

from jobs.errors import StorageError, UnavailableError
from jobs.storage.news import StorageNews
from jobs.storage.object_parts import ObjectParts
from jobs.storage.s3_access import S3Access
from jobs.storage.s3_check import check_round_trip
from jobs.storage.s3_download import Download
from jobs.storage.s3_errors import PRECONDITION_FAILED, code, fault_of, refusals, status
from jobs.storage.s3_listing import pages
from jobs.storage.s3_names import bucket_and_key, content_type
from jobs.storage.s3_sizes import sizes_by_listing
from jobs.storage.s3_upload import PartUpload, UnknownUploadError, content_digest
from jobs.storage.storage import Listed, checked_key
from renderer.patience import Persistence

CREATIONS = 5
"""So often is an object created that is there, says the server, and then is not."""

UPLOADS = 3
MULTIPART_BYTES = 32 << 20
PART_BYTES = 16 << 20
MOST_PARTS = 10_000
IN_MEMORY_BYTES = 8 << 20
PREFETCHED_BYTES = 128 << 10

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class S3Storage:
    """The keys of a bucket under a prefix.

    Credentials are no part of it, so they do not travel with it to other processes: each finds its own.
    """

    bucket: str
    prefix: str = ""
    access: S3Access = field(default_factory=S3Access)

    @classmethod
    def at(cls, location: str, access: S3Access | None = None) -> "S3Storage":
        """The storage at ``s3://bucket/prefix``."""
        bucket, prefix = bucket_and_key(location)
        return cls(bucket, prefix.removesuffix("/"), (access or S3Access()).chosen())

    def __reduce__(self) -> tuple[type["S3Storage"], tuple[str, str, S3Access]]:
        # A client holds connections and credentials: each process makes its own.
        return S3Storage, (self.bucket, self.prefix, self.access)

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return self._uri("").rstrip("/")

    def read(self, key: str) -> bytes:
        """The object's content."""
        content = io.BytesIO()
        self.copy(key, content)
        return content.getvalue()

    def read_version(self, key: str) -> tuple[bytes, str]:
        """The object's content, and its ETag."""
        content = io.BytesIO()
        etag = self.copy(key, content)
        return content.getvalue(), etag

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

    def open_parts(self, key: str) -> BinaryIO:
        """The object, of which parts are fetched as they are read, some more at a time."""
        size = self.size(key)
        if size is None:
            raise UnavailableError(f"cannot read {self._uri(key)}: there is no such object")
        return io.BufferedReader(ObjectParts(lambda start, end: self._part(key, start, end), size), PREFETCHED_BYTES)

    def _part(self, key: str, start: int, end: int) -> bytes:
        """The object's bytes from ``start`` up to ``end``."""

        def get() -> bytes:
            response = self._client.get_object(Bucket=self.bucket, Key=self._key(key), Range=f"bytes={start}-{end - 1}")
            part: bytes = response["Body"].read()
            return part

        return self._send("read", key, get)

    def copy(self, key: str, file: BinaryIO) -> str:
        """Write the object's content to an empty file; a read that is cut short goes on where it was. The ETag."""
        download = Download(self._client, {"Bucket": self.bucket, "Key": self._key(key)}, file)
        self._send("read", key, download.read_on, file.tell)
        return download.etag

    def size(self, key: str) -> int | None:
        """The object's bytes; None if there is none."""
        from botocore.exceptions import ClientError

        def head() -> int | None:
            try:
                size: int = self._client.head_object(Bucket=self.bucket, Key=self._key(key))["ContentLength"]
            except ClientError as error:
                if code(error) in ("404", "NoSuchKey"):
                    return None
                raise
            return size

        return self._send("look for", key, head)

    def sizes(self, keys: Collection[str]) -> Mapping[str, int]:
        """The bytes of those objects that lie close enough together to be listed."""
        top = f"{self.prefix}/" if self.prefix else ""
        wanted = sorted(f"{top}{key}" for key in set(keys) if ".." not in key.split("/"))
        found = sizes_by_listing(lambda after: self._page_after(top, after), wanted)
        return {self._relative(name): size for name, size in found.items()}

    def _page_after(self, top: str, after: str) -> list[tuple[str, int]]:
        ask = {"Bucket": self.bucket, "Prefix": top, "StartAfter": after}
        page = self._send("list", "", lambda: self._client.list_objects_v2(**ask))
        return [(entry["Key"], entry["Size"]) for entry in page.get("Contents", ())]

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self.size(key) is not None

    def write(self, key: str, data: bytes) -> None:
        """Write the object, in place of any there is; a large one in parts, which are retried one by one."""
        if len(data) >= MULTIPART_BYTES:
            self.write_file(key, io.BytesIO(data))
        else:
            self._send("write", key, lambda: self._put(key, data))

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Write the object from a file, part by part if it is large."""
        size = file.seek(0, os.SEEK_END)
        if size >= MULTIPART_BYTES:
            self.write_parts(key, file, max(PART_BYTES, -(-size // MOST_PARTS)))
            return
        file.seek(0)
        self.write(key, file.read())

    def write_parts(self, key: str, file: BinaryIO, part_bytes: int) -> None:
        """Write the object from a file, in parts of that size."""
        place = {"Bucket": self.bucket, "Key": self._key(key)}
        for left in reversed(range(UPLOADS)):
            try:
                upload = PartUpload(self._client, place, lambda request: self._send("write", key, request))
                upload.write(file, part_bytes, content_type(key))
                return
            except UnknownUploadError:
                if not left:
                    raise

    def check(self, key: str) -> None:
        """StorageError if what is written under a key does not come back as it was; nothing is left there."""
        sends_trailers = self._client.meta.config.request_checksum_calculation != "when_required"
        check_round_trip(self, key, sends_trailers)

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if there is none; False if there is.

        When an acknowledgement is lost, the request is repeated and finds what it wrote itself. So whoever
        finds its own bytes has won: contents of several writers must differ, as commit markers do.
        """
        from botocore.exceptions import ClientError

        def put() -> bool:
            try:
                self._put(key, data, IfNoneMatch="*")
            except ClientError as error:
                if status(error) == PRECONDITION_FAILED:
                    return False
                raise
            return True

        for _ in range(CREATIONS):
            if self._send("create", key, put):
                return True
            with suppress(UnavailableError):
                return self.read(key) == data
            # It was deleted since.
        raise StorageError(f"cannot create {self._uri(key)}: the server says that it is there, but does not give it")

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys under a folder, page by page."""
        return (found.key for found in self._listed(prefix))

    def versions(self, prefix: str = "") -> Iterator[Listed]:
        """The objects under a folder, with their sizes and ETags, page by page."""
        return self._listed(prefix)

    def listing(self) -> Iterator[Listed]:
        """All objects, with their sizes and times, page by page."""
        return self._listed("")

    def links(self) -> Iterator[str]:
        """None: a bucket has no links."""
        return iter(())

    def _listed(self, prefix: str) -> Iterator[Listed]:
        for entry in self._pages("list_objects_v2", "Contents", prefix):
            if not entry["Key"].endswith("/"):  # Consoles show an empty object of such a name as a folder.
                key, modified = self._relative(entry["Key"]), entry["LastModified"].timestamp()
                yield Listed(key, entry["Size"], modified, entry.get("ETag", ""))

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        self._send("delete", key, lambda: self._client.delete_object(Bucket=self.bucket, Key=self._key(key)))

    def leftovers(self) -> Iterator[Listed]:
        """Uploads in parts that were begun and never finished, and those under way; their sizes are unknown: 0."""
        for entry in self._pages("list_multipart_uploads", "Uploads"):
            yield Listed(self._relative(entry["Key"]), 0, entry["Initiated"].timestamp())

    def discard(self, leftover: Listed) -> None:
        """Abort the unfinished uploads of an object that were begun when this one was, or before."""
        for entry in self._pages("list_multipart_uploads", "Uploads"):
            same = self._relative(entry["Key"]) == leftover.key
            if same and entry["Initiated"].timestamp() <= leftover.modified:
                upload = {"Bucket": self.bucket, "Key": entry["Key"], "UploadId": entry["UploadId"]}
                self._send("abort the upload of", leftover.key, lambda upload=upload: self._abort(upload))  # type: ignore[misc]

    def _abort(self, upload: dict[str, str]) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.abort_multipart_upload(**upload)
        except ClientError as error:
            if code(error) != "NoSuchUpload":
                raise

    def _put(self, key: str, data: bytes, **conditions: str) -> None:
        self._client.put_object(
            Bucket=self.bucket,
            Key=self._key(key),
            Body=data,
            ContentType=content_type(key),
            **content_digest(self._client, data),
            **conditions,
        )

    def _pages(self, operation: str, entries: str, prefix: str = "") -> Iterator[Any]:
        top = self._key(f"{prefix.rstrip('/')}/" if prefix else "")

        def ask(after: dict[str, str]) -> Any:
            request = {"Bucket": self.bucket, "Prefix": top, **after}
            return self._send("list", prefix, lambda: getattr(self._client, operation)(**request))

        for page in pages(operation, ask, self._uri(prefix)):
            yield from page.get(entries, ())

    @cached_property
    def _connection(self) -> tuple[Any, bool]:
        return self.access.client()

    @property
    def _client(self) -> Any:
        return self._connection[0]

    @cached_property
    def _persistence(self) -> Persistence:
        return Persistence(self.access.patience, fault_of, StorageNews(self.uri, self.access.patience.seconds))

    def _send(
        self, action: str, key: str, request: Callable[[], _Result], progress: Callable[[], int] = lambda: 0
    ) -> _Result:
        """The one way to the server; StorageError if it refuses, or does not answer for too long."""
        with refusals(f"cannot {action} {self._uri(key)}", self._connection[1]):
            return self._persistence.send(request, progress)

    def _key(self, key: str) -> str:
        checked = checked_key(key)
        return f"{self.prefix}/{checked}" if self.prefix else checked

    def _relative(self, key: str) -> str:
        return key[len(self.prefix) + 1 :] if self.prefix else key

    def _uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"
