"""`render-corpus` on a cluster of which a node is drained in the middle, as a process of its own."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from tests.jobs.support.dummy import DummyBackend


def main(manifest: str, out: str) -> int:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100_000_000) for _ in range(2)]

    def drain_a_node() -> None:
        done = Path(out) / "_state/done"
        while not (done.is_dir() and len(list(done.iterdir())) >= 2):
            time.sleep(0.05)
        notice = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--node-id", nodes[0].node_id]
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address, *notice]
        subprocess.run([*command, "--deadline-remaining-seconds", "120"], check=True)

    threading.Thread(target=drain_a_node, daemon=True).start()
    options = RenderOptions(
        manifest=manifest, out=out, ray_address=cluster.address, actors=2, device="cpu", shard_items=8
    )
    code = render_corpus(options, DummyBackend(seconds_per_item=0.5))
    cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
