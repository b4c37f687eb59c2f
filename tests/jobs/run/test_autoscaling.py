"""A run on a cluster that has no GPU yet: what it asks for makes Ray's autoscaler add nodes, here of this machine."""

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.support.corpus import make_corpus, results

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PATIENCE = 400.0
IDLE_SECONDS = 15.0
OBJECT_STORE_BYTES = 100_000_000
NO_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
NO_FILES = ("cluster_synced_files", "rsync_exclude", "rsync_filter")


def autoscaling(gcs_address: str) -> dict[str, object]:
    """A head for no actor, and workers of 8 GPUs, as in ray_cluster.yaml; nodes are processes of this machine.

    One that nobody uses for a quarter of a minute ends.
    """
    return {
        "cluster_name": "fake",
        "max_workers": 4,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_SECONDS / 60,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": gcs_address,
            "use_node_id_as_ip": True,  # All nodes have the address of this machine; idle ones are not found else.
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0, "GPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu8": {
                "resources": {"CPU": 16, "GPU": 8, "object_store_memory": OBJECT_STORE_BYTES},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 4,
            },
        },
        **{name: [] for name in (*NO_COMMANDS, *NO_FILES)},
    }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster of a head alone, which may grow."""
    importlib.import_module("ray")  # It brings psutil with it.
    psutil: Any = importlib.import_module("psutil")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # Sockets need a short path.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    (folder / "autoscaling.json").write_text(json.dumps(autoscaling(address)))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *(f"--port={port}", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"),
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={folder}",
            f"--autoscaling-config={folder}/autoscaling.json",
        ],
        env={**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield address
    finally:
        processes = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        psutil.wait_procs([psutil.Process(head.pid)], timeout=5)
        for process in [*processes, head]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def gpu_nodes(address: str) -> tuple[int, int]:
    """How many nodes with GPUs there are, and how many there were."""
    there = "[node for node in ray.nodes() if node['Resources'].get('GPU')]"
    gone = "[node for node in ray.nodes() if not node['Alive']]"
    script = f"import ray; ray.init({address!r}); print('nodes', len({there}), len({gone}))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # Beside it, Ray may tell what the autoscaler does.
    (counts,) = (line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("nodes "))
    alive, ended = map(int, counts)
    return alive, ended


def start(manifest: Path, out: Path, cluster: str) -> subprocess.Popen[str]:
    """A run that asks for nine GPUs."""
    options = ["--out", out, "--gpus", 9, "--shard-items", 1, "--ray-address", cluster]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.support.dummy_cli", str(manifest), *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "DUMMY_SECONDS_PER_ITEM": "1", "DUMMY_STRAGGLER_SECONDS": "180"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nine_actors_make_a_cluster_without_gpus_grow_by_two_nodes_of_eight(
    tmp_path: Path, out: Path, cluster: str
) -> None:
    ids = [f"item-{number:02d}" for number in range(27)]
    began = time.monotonic()
    ran = start(make_corpus(tmp_path, ids), out, cluster)
    _, output = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 0, output
    print(f"{time.monotonic() - began:.1f} s")
    assert [row["item_id"] for row in results(out)] == ids
    assert sum(gpu_nodes(cluster)) == 2


def test_a_node_goes_while_an_item_on_another_takes_long(tmp_path: Path, out: Path, cluster: str) -> None:
    ids = ["straggles-1", *(f"item-{number:02d}" for number in range(26))]
    ran = start(make_corpus(tmp_path, ids), out, cluster)
    deadline, seen = time.monotonic() + PATIENCE, (0, 0)
    while ran.poll() is None and seen != (1, 1) and time.monotonic() < deadline:
        time.sleep(2.0)
        seen = gpu_nodes(cluster)
    assert ran.poll() is None and seen == (1, 1), ran.communicate()
    _, output = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 0, output
    assert [row["item_id"] for row in results(out)] == ids
