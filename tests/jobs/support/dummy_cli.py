"""`render-corpus` as a process of its own, with as many fake GPUs as it is asked for.

It renders with the dummy renderer, or if ``DUMMY_RENDERER`` is ``model``, with the options' model.
"""

import os

from jobs.cli.render import render_app
from jobs.cluster import OBJECT_STORE_BYTES
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions
from jobs.shard.backend import Backend
from tests.jobs.support.dummy import DummyBackend, NodesOwn, Registered


def chosen_backend(options: RenderOptions) -> Backend:
    backend: Backend = DummyBackend(
        float(os.environ.get("DUMMY_SECONDS_PER_ITEM", "0")),
        straggler_seconds=float(os.environ.get("DUMMY_STRAGGLER_SECONDS", "60")),
    )
    if os.environ.get("DUMMY_RENDERER") == "model":
        backend = ModelBackend.from_options(options)
    if os.environ.get("DUMMY_NODES_OWN"):
        backend = NodesOwn(backend)
    pids = os.environ.get("DUMMY_PIDS")
    return Registered(backend, pids) if pids else backend


if __name__ == "__main__":
    if gpus := int(os.environ.get("DUMMY_GPUS", "0")):
        import ray

        ray.init(
            address="local",
            num_cpus=gpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
        )
    render_app(obj=chosen_backend)
