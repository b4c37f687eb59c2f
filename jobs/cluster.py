"""Ray: on this machine, or a cluster that is there.

On a cluster this package must be on every node, in the same version, or be sent there, and manifest, model and output
must be where every node finds them under the same name.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import ray

from jobs.cluster_head import HeadWatch, check_answers
from jobs.console import say
from jobs.errors import JobError
from jobs.machine import be_patient, check_machine, ensure_token, short_folder, working_in_our_folder

OBJECT_STORE_BYTES = 100_000_000
"""Near Ray's minimum: audio never passes through the object store."""


class ClusterOptions(Protocol):
    """What the options of a command say of Ray."""

    @property
    def ray_address(self) -> str | None:
        """The cluster's; None for one of our own on this machine."""
        ...

    @property
    def cpus_per_actor(self) -> int:
        """CPUs for each actor."""
        ...


@contextmanager
def connected_ray(
    options: ClusterOptions,
    actors: int,
    gpus: int,
    show_logs: bool = False,
    environment: Mapping[str, Any] | None = None,
) -> Iterator[HeadWatch]:
    """The cluster that the options name, or a Ray with room for the actors on this machine.

    With ``show_logs``, what the actors print is printed here as well. On a cluster they have the ``environment``, a
    ``runtime_env`` of Ray. Gives a watch over the cluster's head.
    """
    if options.ray_address is None:
        with local_ray(actors, options.cpus_per_actor, gpus, show_logs):
            yield HeadWatch()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would warn in its own words of what we tell in ours.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    check_answers(options.ray_address)
    try:
        with working_in_our_folder():
            ray.init(
                address=options.ray_address,
                log_to_driver=show_logs,
                logging_level=logging.ERROR,
                runtime_env=dict(environment) if environment else None,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise JobError(f"--ray-address {options.ray_address}: cannot be reached: {error}") from None
    head = HeadWatch(ray.get_runtime_context().gcs_address)
    try:
        here = ray.cluster_resources()
        if gpus > here.get("GPU", 0) or actors * options.cpus_per_actor > here.get("CPU", 0):
            # Not an error: the actors' demand is what makes a cluster grow.
            say(
                f"the cluster has {here.get('GPU', 0):g} GPUs and {here.get('CPU', 0):g} CPUs now: "
                f"the other actors of {actors} begin when it has grown"
            )
        with head:
            yield head
    finally:
        if not head.fault:  # It would wait for a head that is lost.
            ray.shutdown()


def hush_without_dashboard() -> None:
    """Called in every worker: without the dashboard, Ray Train would warn each second that it cannot ask it."""
    logging.getLogger("ray.train.v2._internal.execution.controller.placement_group_cleaner").setLevel(logging.ERROR)


@contextmanager
def local_ray(actors: int, cpus_per_actor: int, gpus: int, show_logs: bool = False) -> Iterator[None]:
    """A Ray with room for the actors; one that the caller has started is used as it is, and left running.

    JobError if Ray cannot run here, or if the actors would wait for ever for GPUs or CPUs that do not exist.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ours = not ray.is_initialized()
    if ours:
        check_machine()
        ensure_token()
        be_patient()
        _start_ray(actors * cpus_per_actor, show_logs)
    try:
        resources = ray.cluster_resources()
        if gpus > resources.get("GPU", 0):
            raise JobError(f"--gpus {gpus}: Ray sees {resources.get('GPU', 0):g} GPUs; use --gpus 0 for the CPU")
        if actors * cpus_per_actor > resources.get("CPU", 0):
            raise JobError(
                f"{actors} actors with {cpus_per_actor} CPUs each: Ray has {resources.get('CPU', 0):g} CPUs; "
                "use fewer --actors or --cpus-per-actor"
            )
        yield
    finally:
        if ours:
            ray.shutdown()


def _start_ray(cpus: int, show_logs: bool) -> None:
    hook = {"worker_process_setup_hook": "jobs.cluster.hush_without_dashboard"}
    try:
        with working_in_our_folder():
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=show_logs,
                logging_level=logging.ERROR,
                runtime_env=hook if show_logs else None,
                _temp_dir=short_folder(),
            )
    except Exception as error:  # Ray has no class of its own for this.
        if "timed out during startup" not in str(error):
            raise
        raise JobError("Ray's processes did not find one another in time: this machine is busy; try again") from None
