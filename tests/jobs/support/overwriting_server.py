"""A server that speaks a little S3 and replaces objects although it is asked not to, as some servers do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOT_THERE = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>"
ENTRY = b"<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "OverwritingServer"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self.server.objects[self._key()] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_GET(self) -> None:
        bucket, _, key = self._key().partition("/")
        if not key:
            keys = [name.partition("/")[2] for name in sorted(self.server.objects) if name.startswith(f"{bucket}/")]
            self._answer(200, LISTING % b"".join(ENTRY % name.encode() for name in keys))
        elif self._key() in self.server.objects:
            self._answer(200, self.server.objects[self._key()])
        else:
            self._answer(404, NOT_THERE)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._key(), None)
        self._answer(204)

    def _key(self) -> str:
        return self.path.partition("?")[0].strip("/")

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class OverwritingServer(ThreadingHTTPServer):
    """Keeps ``objects`` in memory, by bucket and key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_overwriting_server() -> Iterator[OverwritingServer]:
    """One, until the end of the block."""
    with OverwritingServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
