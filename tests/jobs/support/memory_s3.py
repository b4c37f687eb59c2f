"""A small S3 server in this process, which can be what other people's servers are: down, strict, or out of order."""

import hashlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

WRITTEN = "2026-01-01T00:00:00Z"
PAGE = 1000


@dataclass
class MemoryS3:
    """Keeps ``objects`` by ``bucket/key``; keys are what they are, whatever slashes and dots they hold.

    ``down`` closes connections without an answer, as ``outages`` do when there were so many requests, for so many
    seconds; ``throttles`` answers 503 SlowDown. Each of ``demanded`` headers must come with every request,
    ``demanded_of_writes`` with those that write. ``overwrites`` ignores If-None-Match, ``keeps_framing`` stores
    aws-chunked bodies as they come, and ``knows_trailers`` is False where they are refused.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    demanded: Mapping[str, str] = field(default_factory=dict)
    demanded_of_writes: Mapping[str, str] = field(default_factory=dict)
    overwrites: bool = False
    keeps_framing: bool = False
    knows_trailers: bool = True
    throttles: bool = False
    down: bool = False
    outages: list[tuple[int, float]] = field(default_factory=list)
    unanswered: int = 0
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def go_down(self, seconds: float) -> threading.Timer:
        """Be down from now on for a while."""
        self.down = True
        timer = threading.Timer(seconds, lambda: setattr(self, "down", False))
        timer.start()
        return timer


@contextmanager
def running_memory_s3(certificate: Path | None = None, **modes: Any) -> Iterator[MemoryS3]:
    """One, until the end of the block; over https if there is a ``certificate`` (with its key, as PEM)."""
    s3 = MemoryS3(**modes)
    handler = type("Handler", (_Handler,), {"s3": s3})
    with _Server(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        s3.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield s3
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _RefusalError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: MemoryS3

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        s3 = self.s3
        if s3.outages and s3.requests.total() >= s3.outages[0][0]:
            s3.go_down(s3.outages.pop(0)[1])
        if s3.down:
            s3.unanswered += 1
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        self.name = unquote(path.removeprefix("/"))
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        body = self._body()
        try:
            with s3.lock:
                s3.requests[self.command] += 1
                self._refuse_what_is_wrong()
                self._answer(*getattr(self, f"_{self.command.lower()}")(body))
        except _RefusalError as error:
            status, code, message = error.args
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            self._answer(status, text.encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _refuse_what_is_wrong(self) -> None:
        if self.s3.throttles:
            raise _RefusalError(503, "SlowDown", "Please reduce your request rate")
        writes = self.s3.demanded_of_writes if self.command in ("PUT", "POST") and "uploadId" not in self.query else {}
        for name, value in {**self.s3.demanded, **writes}.items():
            if not str(self.headers.get(name, "")).startswith(value):
                raise _RefusalError(403, "AccessDenied", "Access Denied")
        if self.headers.get("x-amz-trailer") and not self.s3.knows_trailers:
            raise _RefusalError(501, "NotImplemented", "A header you provided implies functionality of another server")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(self.rfile)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" in self.headers.get("Content-Encoding", "") and not self.s3.keeps_framing:
            from io import BytesIO

            body = _unchunked(BytesIO(body))
        return body

    def _put(self, body: bytes) -> tuple[int, bytes]:
        stated = self.headers.get("Content-MD5")
        if stated is not None and stated != _md5(body):
            raise _RefusalError(400, "BadDigest", "The Content-MD5 you specified did not match")
        if "uploadId" in self.query:
            self.s3.uploads[self.query["uploadId"]][1][int(self.query["partNumber"])] = body
        else:
            self._create_only()
            self.s3.objects[self.name] = body
        self.etag = _etag(body)
        return 200, b""

    def _create_only(self) -> None:
        if self.headers.get("If-None-Match") == "*" and self.name in self.s3.objects and not self.s3.overwrites:
            raise _RefusalError(412, "PreconditionFailed", "It is there")

    def _post(self, body: bytes) -> tuple[int, bytes]:
        if "uploads" in self.query:
            number = f"upload-{len(self.s3.uploads)}-{time.monotonic_ns()}"
            self.s3.uploads[number] = (self.name, {})
            return 200, f"<I><UploadId>{number}</UploadId></I>".encode()
        found = self.s3.uploads.pop(self.query["uploadId"], None)
        if found is None:
            raise _RefusalError(404, "NoSuchUpload", "no such upload")
        self.s3.objects[self.name] = b"".join(part for _, part in sorted(found[1].items()))
        return 200, b"<C><ETag>x</ETag></C>"

    def _delete(self, body: bytes) -> tuple[int, bytes]:
        if "uploadId" in self.query:
            self.s3.uploads.pop(self.query["uploadId"], None)
        else:
            self.s3.objects.pop(self.name, None)
        return 204, b""

    def _get(self, body: bytes) -> tuple[int, bytes]:
        bucket, _, key = self.name.partition("/")
        if not key and self.command == "GET":
            return 200, (self._uploads(bucket) if "uploads" in self.query else self._listing(bucket)).encode()
        if self.name not in self.s3.objects:
            raise _RefusalError(404, "NoSuchKey", "no such key")
        content = self.s3.objects[self.name]
        self.etag = _etag(content)
        asked = self.headers.get("Range", "")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1 if last else None]
        return 206 if asked else 200, content

    _head = _get

    def _listing(self, bucket: str) -> str:
        top = f"{bucket}/{self.query.get('prefix', '')}"
        after = self.query.get("continuation-token") or f"{bucket}/{self.query.get('start-after', '')}"
        names = sorted(name for name in self.s3.objects if name.startswith(top) and name > after)
        entries = "".join(
            f"<Contents><Key>{escape(quote(name.partition('/')[2]))}</Key><Size>{len(self.s3.objects[name])}</Size>"
            f"<ETag>{escape(_etag(self.s3.objects[name]))}</ETag><LastModified>{WRITTEN}</LastModified></Contents>"
            for name in names[:PAGE]
        )
        more = len(names) > PAGE
        token = f"<NextContinuationToken>{escape(names[PAGE - 1])}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{entries}</ListBucketResult>"
        )

    def _uploads(self, bucket: str) -> str:
        top = f"{bucket}/{self.query.get('prefix', '')}"
        return "<L>{}</L>".format(
            "".join(
                f"<Upload><Key>{escape(name.partition('/')[2])}</Key><UploadId>{number}</UploadId>"
                f"<Initiated>{WRITTEN}</Initiated></Upload>"
                for number, (name, _) in self.s3.uploads.items()
                if name.startswith(top)
            )
        )

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("ETag", getattr(self, "etag", '"0"'))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def host_of(endpoint: str) -> str:
    """Host and port of an endpoint."""
    return urlsplit(endpoint).netloc


def _unchunked(file: Any) -> bytes:
    """A body without its framing, be it HTTP's or aws-chunked."""
    body = b""
    while size := int(file.readline().partition(b";")[0], 16):
        body += file.read(size)
        file.readline()
    while file.readline().strip():
        pass
    return body


def _md5(body: bytes) -> str:
    import base64

    return base64.b64encode(hashlib.md5(body).digest()).decode()


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
