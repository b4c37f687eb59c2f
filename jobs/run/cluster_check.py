"""``midi-valle cluster check``: whether every node of a cluster has what a run needs, before it is paid for."""

import pickle
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.cluster import connected_ray
from jobs.errors import JobError
from jobs.run import node_probe
from jobs.run.agreement import SHOWN_HASH, Agreement
from jobs.run.cluster_check_options import ClusterCheckOptions
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions
from jobs.run.places import Place
from jobs.run_directory.run_directory import STATE_FOLDER
from jobs.shard.backend import Backend
from jobs.storage import Storage, open_storage
from jobs.storage.s3_storage import S3Storage
from renderer.errors import RendererError

ANSWER_SECONDS = 180.0
CLOCK_SECONDS = 60.0
"""S3 refuses requests of a clock that is a quarter of an hour off."""

FREE_BYTES = 5e9
PROBE = b"written by who checks\n"
COLUMNS = ("node", "package", "torch", "GPUs", "model", "storage", "credentials", "clock", "free disk")


@dataclass(frozen=True)
class Question:
    """What a node with this package is asked, there. ``probe`` is an object that the driver has written."""

    backend: Backend
    storage: Storage | None
    probe: str

    def answers(self) -> dict[str, Any]:
        """What there is; a fault is said in place of what cannot be had."""
        found: dict[str, Any] = {"agreement": Agreement.of_this_process(), "credentials": "-"}
        try:
            found["model"] = self.backend.describe().model_hash
        except (RendererError, JobError, OSError) as error:
            found["model_fault"] = str(error)
        if self.storage is not None:
            found["storage_fault"] = _storage_fault(self.storage, self.probe)
        if isinstance(self.storage, S3Storage):
            found["credentials"] = _credentials()
        return found


@dataclass(frozen=True)
class ClusterReport:
    """A line of the table for every node, and what is wrong, with the nodes."""

    rows: Sequence[Sequence[str]]
    problems: Sequence[str]

    def __str__(self) -> str:
        """The table."""
        lines = [COLUMNS, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def check_cluster(options: ClusterCheckOptions) -> ClusterReport:
    """Ask every node of a cluster; JobError if there is none, or if storage or model cannot be had here either."""
    run = RenderOptions(
        manifest="",
        model=options.model,
        s3_endpoint_url=options.s3_endpoint_url,
        ray_address=options.ray_address,
        actors=1,
    )
    backend = ModelBackend.from_options(run)
    storage = None if options.out is None else open_storage(options.out, run.s3)
    model_hash = backend.describe().model_hash
    with _probe_object(storage) as probe, connected_ray(run, 0, 0):
        question = pickle.dumps(Question(backend, storage, probe))
        nodes = {
            Place(node["NodeManagerHostname"], node["NodeID"]): node["Resources"]
            for node in ray.nodes()
            if node["Alive"]
        }
        answers = _ask(list(nodes), question)
    ours = Agreement.of_this_process()
    problems = [
        f"{place}: {problem}"
        for place, answer in answers.items()
        for problem in _problems(answer, ours, model_hash, nodes[place].get("GPU", 0))
    ]
    return ClusterReport([_row(place, answer) for place, answer in answers.items()], problems)


def _ask(places: Sequence[Place], question: bytes) -> dict[Place, dict[str, Any]]:
    """Every node's facts, with its clock's difference; of a node that does not answer, the fault alone."""
    cloudpickle.register_pickle_by_value(node_probe)
    try:
        probes: dict[Place, Any] = {
            place: ray.remote(node_probe.NodeProbe)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False))
            .remote()
            for place in places
        }
    finally:
        cloudpickle.unregister_pickle_by_value(node_probe)
    asked = {place: actor.facts.remote(question) for place, actor in probes.items()}
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
    return {place: _answer(probes[place], reference) for place, reference in asked.items()}


def _answer(probe: Any, reference: Any) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = ray.get(reference, timeout=0)
        began = time.time()
        clock = ray.get(probe.now.remote(), timeout=ANSWER_SECONDS)
        return facts | {"clock": clock - (began + time.time()) / 2}
    except ray.exceptions.GetTimeoutError:
        return {"fault": f"it did not answer within {ANSWER_SECONDS:.0f} s"}
    except ray.exceptions.RayError as error:
        return {"fault": f"it cannot be asked: {str(error).strip().splitlines()[-1]}"}


def _problems(answer: Mapping[str, Any], ours: Agreement, model_hash: str, gpus: float) -> Iterator[str]:
    """What is wrong with a node, and what to do."""
    if fault := answer.get("fault"):
        yield fault
        return
    errors = answer["errors"]
    if fault := errors.get("package"):
        yield f"render-corpus cannot be used there ({fault}); install the driver's version there"
    else:
        yield from ours.differences(answer["agreement"])
    if fault := errors.get("torch"):
        yield f"torch cannot be used there ({fault})"
    elif gpus > len(answer["gpus"]):
        yield (
            f"Ray counts {gpus:g} GPUs and torch {answer['torch']} sees {len(answer['gpus'])}; the NVIDIA driver is "
            "missing, or too old for this torch"
        )
    if fault := answer.get("model_fault"):
        yield f"the model cannot be had: {fault}"
    elif answer.get("model", model_hash) != model_hash:
        yield f"its model is another than the driver's (hash {answer['model'][:SHOWN_HASH]}); put the same files there"
    if fault := answer.get("storage_fault"):
        yield f"storage: {fault}"
    if abs(answer["clock"]) > CLOCK_SECONDS:
        yield f"its clock is {answer['clock']:+.0f} s off; S3 refuses requests of a wrong time, so set it (NTP)"
    if answer["free_bytes"] < FREE_BYTES:
        yield f"{answer['free_bytes'] / 1e9:.1f} GB are free for temporary files; shards and copies of inputs need more"


def _row(place: Place, answer: Mapping[str, Any]) -> tuple[str, ...]:
    if "fault" in answer:
        return (str(place), *["?"] * (len(COLUMNS) - 1))
    agreement = answer.get("agreement")
    package = "-" if agreement is None else agreement.versions["render-corpus"]
    storage = {None: "-", "": "reached"}.get(answer.get("storage_fault"), "not reached")
    return (
        str(place),
        package,
        answer.get("torch", "-"),
        _gpus(answer.get("gpus", [])),
        answer.get("model", "-")[:SHOWN_HASH],
        storage,
        answer.get("credentials", "-"),
        f"{answer['clock']:+.1f} s",
        f"{answer['free_bytes'] / 1e9:.0f} GB",
    )


def _gpus(names: Sequence[str]) -> str:
    kinds = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    return kinds or "none"


@contextmanager
def _probe_object(storage: Storage | None) -> Iterator[str]:
    """An object that is there while nodes are asked."""
    key = f"{STATE_FOLDER}/probe-{uuid.uuid4().hex}"
    if storage is None:
        yield key
        return
    storage.write(key, PROBE)
    try:
        yield key
    finally:
        storage.delete(key)


def _storage_fault(storage: Storage, probe: str) -> str:
    """Why a node cannot work with the storage; empty if it can."""
    try:
        if not storage.exists(probe):
            return f"{storage.uri} is another folder than the driver's: use S3, or a disk that all nodes have"
        if storage.read(probe) != PROBE:
            return f"{storage.uri} does not give back what was written"
        storage.check(f"{STATE_FOLDER}/probe-{uuid.uuid4().hex}")
    except JobError as error:
        return str(error)
    return ""


def _credentials() -> str:
    """How the usual AWS chain has found credentials here."""
    import boto3

    found = boto3.session.Session().get_credentials()
    return "none" if found is None else str(found.method)
