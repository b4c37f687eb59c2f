"""`render-corpus` on a cluster of which a node is lost in the middle, as a process of its own."""

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
    nodes = [cluster.add_node(num_cpus=2, object_store_memory=100_000_000) for _ in range(2)]

    def lose_a_node() -> None:
        done = Path(out) / "_state/done"
        while not (done.is_dir() and len(list(done.iterdir())) >= 3):
            time.sleep(0.05)
        print("a node is lost", file=sys.stderr, flush=True)
        cluster.remove_node(nodes[0], allow_graceful=False)

    threading.Thread(target=lose_a_node, daemon=True).start()
    options = RenderOptions(
        manifest=manifest, out=out, ray_address=cluster.address, actors=4, device="cpu", shard_items=2
    )
    code = render_corpus(options, DummyBackend(seconds_per_item=0.5))
    cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
