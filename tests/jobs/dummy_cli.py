"""`render-corpus` with the dummy renderer, as a process of its own, with as many fake GPUs as it is told."""

import os

from jobs.cli import render_app
from tests.jobs.dummy import DummyBackend

if __name__ == "__main__":
    if gpus := int(os.environ.get("DUMMY_GPUS", "0")):
        import ray

        ray.init(
            address="local",
            num_cpus=gpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
        )
    seconds = float(os.environ.get("DUMMY_SECONDS_PER_ITEM", "0"))
    render_app(obj=lambda options: DummyBackend(seconds, pids=os.environ.get("DUMMY_PIDS", "")))
