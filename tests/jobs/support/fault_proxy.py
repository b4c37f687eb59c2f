"""An HTTP proxy on the loopback interface that does to an S3 server's answers what networks and overload do."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

FAULTS = ("503", "500", "reset", "lost acknowledgement", "truncated body", "delay")
DELAY_SECONDS = 0.5
ERROR_CODES = {500: "InternalError", 503: "SlowDown", 400: "ExpiredToken"}
TIMEOUT = 30.0


class _Answer(NamedTuple):
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class FaultProxy:
    """Hands requests on as they are, so that signatures hold, and at ``rate`` does a fault to one.

    ``script`` lists faults for the first requests, ``""`` for none. Of ``faults`` those that are left are
    drawn by ``seed``. ``injected`` counts what was done.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        rate: float = 0.0,
        seed: int = 0,
        faults: Sequence[str] = FAULTS,
        script: Sequence[str] = (),
    ) -> None:
        self.upstream = urlsplit(endpoint).netloc
        self.requests = 0
        self.injected: Counter[str] = Counter()
        self.expired = False
        self._rate, self._faults, self._script = rate, faults, list(script)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until :meth:`close` is called."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self) -> str:
        """The fault for the next request, ``""`` for none."""
        with self._lock:
            self.requests += 1
            if self.expired:
                return "expired"
            if self._script:
                fault = self._script.pop(0)
            else:
                fault = self._random.choice(self._faults) if self._random.random() < self._rate else ""
            if fault:
                self.injected[fault] += 1
            return fault


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def running_proxy(endpoint: str, **options: Any) -> Iterator[FaultProxy]:
    """A proxy in front of a server until the end of the block."""
    proxy = FaultProxy(endpoint, **options)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.next_fault()
            if fault in ("503", "500"):
                self._refuse(int(fault))
            elif fault == "expired":
                self._refuse(400)
            elif fault == "reset":
                self._reset()
            else:
                if fault == "delay":
                    time.sleep(DELAY_SECONDS)
                answer = self._handed_on(body)
                if fault == "lost acknowledgement":
                    self._reset()
                elif fault == "truncated body":
                    self._send(answer, len(answer.body) // 2)
                else:
                    self._send(answer, len(answer.body))

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

        def _handed_on(self, body: bytes) -> _Answer:
            connection = http.client.HTTPConnection(proxy.upstream, timeout=TIMEOUT)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("expect", "connection"):
                        connection.putheader(name, value)
                connection.endheaders(body)
                response = connection.getresponse()
                return _Answer(response.status, response.getheaders(), response.read())
            finally:
                connection.close()

        def _refuse(self, status: int) -> None:
            code = ERROR_CODES[status]
            body = f"<Error><Code>{code}</Code><Message>{code} by the proxy</Message></Error>".encode()
            self._send(_Answer(status, [("Content-Type", "application/xml")], body), len(body))

        def _send(self, answer: _Answer, sent: int) -> None:
            self.send_response_only(answer.status)
            length = str(len(answer.body))
            for name, value in answer.headers:
                if name.lower() == "content-length":
                    length = value  # A HEAD tells of a body that it does not have.
                elif name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[:sent])
            if sent < len(answer.body):
                self.wfile.flush()
                self.close_connection = True

        def _reset(self) -> None:
            # Closing with a linger of 0 seconds sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    return Handler
