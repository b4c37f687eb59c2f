"""A Ray cluster of processes of this machine, of which each node may see other files and another environment."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.jobs.support.s3_server import free_ports

OBJECT_STORE_BYTES = 80_000_000
START = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
ROOT = Path(__file__).parents[3]
PATIENCE = 150.0


class RayNodes:
    """Nodes that come and go; each is a group of processes of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self._nodes: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "HOME": str(folder), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        self.head = self._start(["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"])

    def add(self, mounts: Mapping[Path, Path | None] = {}, **changes: str) -> subprocess.Popen[bytes]:
        """A node with a CPU, in an environment with some changes.

        Where ``mounts`` says so, it finds another file, or for None an empty folder.
        """
        return self._start([f"--address={self.address}", "--num-cpus=1"], mounts, changes)

    def kill(self, node: subprocess.Popen[bytes], name: str) -> None:
        """Kill one process of a node: its ``raylet``, or the head's ``gcs_server``, which all others ask."""
        importlib.import_module("ray")  # It brings psutil with it.
        psutil: Any = importlib.import_module("psutil")
        for process in psutil.Process(node.pid).children(recursive=True):
            if process.name() == name:
                process.kill()

    def run(self, *words: object, seconds: float = 400.0, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a module with these words as a driver of the cluster."""
        return subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=ROOT,
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def close(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self._nodes):
            with suppress(ProcessLookupError):  # It may have ended by itself.
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()

    def _start(
        self, options: Sequence[str], mounts: Mapping[Path, Path | None] = {}, changes: Mapping[str, str] = {}
    ) -> subprocess.Popen[bytes]:
        words = [*START, f"--object-store-memory={OBJECT_STORE_BYTES}", *options]
        if "--head" in options:
            words.append(f"--temp-dir={self._folder}")
        if mounts:
            ways = (f"mount {f'--bind {other}' if other else '-t tmpfs none'} {path}" for path, other in mounts.items())
            words = ["unshare", "--mount", "sh", "-c", f'{" && ".join(ways)} && exec "$@"', "sh", *words]
        log = (self._folder / f"node-{len(self._nodes)}.log").open("wb")
        node = subprocess.Popen(
            words,
            env={**self.environment, **changes},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._nodes.append(node)
        self._wait(Path(log.name), node)
        return node

    def _wait(self, log: Path, node: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while "Ray runtime started" not in log.read_text():
            if node.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)


@contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """A cluster of a head alone; in a folder whose name is short, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    nodes = None
    try:
        nodes = RayNodes(folder)
        yield nodes
    finally:
        if nodes is not None:
            nodes.close()
        shutil.rmtree(folder, ignore_errors=True)
