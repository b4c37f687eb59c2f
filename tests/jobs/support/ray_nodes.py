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
RAY = (sys.executable, "-m", "ray.scripts.scripts")
START = (*RAY, "start", "--block", "--disable-usage-stats")
ROOT = Path(__file__).parents[3]
PATIENCE = 150.0
SLOW_START = {"RAY_raylet_start_wait_time_s": "120"}
STARTS = 4
"""On a busy machine a node may give up all the same."""

DRAIN = """
import sys, ray
ray.init(sys.argv[1], logging_level="ERROR")
print(next(node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")))
"""


class RayNodes:
    """Nodes that come and go; each is a group of processes of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self._nodes: list[subprocess.Popen[bytes]] = []
        own = {"HOME": str(folder), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        self.environment = {**os.environ, **own, "RAY_USAGE_STATS_ENABLED": "0", **SLOW_START}
        self.head = self._start(["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"])

    def add(self, mounts: Mapping[Path, Path | None] = {}, **changes: str) -> subprocess.Popen[bytes]:
        """A node with a CPU, in an environment with some changes.

        Where ``mounts`` says so, it finds another file, or for None an empty folder.
        """
        return self._start([f"--address={self.address}", "--num-cpus=1"], mounts, changes)

    def add_apart(self, *hidden: Path) -> subprocess.Popen[bytes]:
        """A node with a disk of its own: a home and a temporary folder, and nothing in the ``hidden`` folders."""
        disk = Path(tempfile.mkdtemp(prefix="disk-", dir=self._folder))
        return self.add(dict.fromkeys(hidden), HOME=str(disk), TMPDIR=str(disk))

    def kill(self, node: subprocess.Popen[bytes], name: str) -> None:
        """Kill one process of a node: its ``raylet``, or the head's ``gcs_server``, which all others ask."""
        for process in _processes(node):
            if process.name() == name:
                process.kill()

    def freeze(self, node: subprocess.Popen[bytes]) -> None:
        """Stop all processes of a node where they are: nobody hears of it any more."""
        for process in _processes(node):
            process.suspend()

    def thaw(self, node: subprocess.Popen[bytes]) -> None:
        """Let a frozen node go on as if nothing had been."""
        for process in _processes(node):
            process.resume()

    def drain(self) -> None:
        """Give notice of two minutes to one of the nodes that have a CPU."""
        found = subprocess.run(
            [sys.executable, "-c", DRAIN, self.address],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        where = ["--address", self.address, "--node-id", found.stdout.split()[-1]]
        subprocess.run(
            [*RAY, "drain-node", *where, *reason, "--deadline-remaining-seconds", "120"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )

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
        for _ in range(STARTS):
            log = self._folder / f"node-{len(self._nodes)}.log"
            with log.open("wb") as written:
                node = subprocess.Popen(
                    words,
                    env={**self.environment, **changes},
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._nodes.append(node)
            if self._is_up(log, node):
                return node
        raise RuntimeError(log.read_text())

    def _is_up(self, log: Path, node: subprocess.Popen[bytes]) -> bool:
        until = time.monotonic() + PATIENCE
        while "Ray runtime started" not in log.read_text():
            if node.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True


def _processes(node: subprocess.Popen[bytes]) -> list[Any]:
    importlib.import_module("ray")  # It brings psutil with it.
    psutil: Any = importlib.import_module("psutil")
    node_process = psutil.Process(node.pid)
    return [node_process, *node_process.children(recursive=True)]


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
