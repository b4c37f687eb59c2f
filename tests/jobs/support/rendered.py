"""Runs that are finished, or not quite, without Ray."""

import io
import json
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from jobs.output.writers import stored_object
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RUN_KEY, RunDirectory, marker_key
from jobs.shard.backend import Backend
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage import open_storage
from tests.jobs.support.dummy import DummyBackend

QUALITY = [
    *("segments_retried", "verdict", "faults", "quality_score", "notes_found", "attacks_explained"),
    *("codes_match", "silence_s", "joint_prominence", "length_error"),
]
"""The columns that tell of quality alone."""


def render_run(
    manifest: Path,
    out: Path | str,
    leave_out: Container[int] = (),
    generation: int = 0,
    backend: Backend | None = None,
    **options: Any,
) -> RunDirectory:
    """Render a manifest, but for the shards in ``leave_out``; with the dummy renderer, if no other is given.

    With a ``generation`` above 0, render again what failed in the one before.
    """
    settings: dict[str, Any] = {"actors": 1, "shard_items": 2, "device": "cpu", **options}
    job = prepare(RenderOptions(manifest=str(manifest), out=str(out), **settings), backend or DummyBackend())
    directory = RunDirectory(open_storage(str(out)))
    if generation == 0:
        directory.start(job.run)
    renderer = ShardRenderer(ShardWork(job.run, str(manifest), job.bank, directory.storage, job.backend))
    with threads(job.run.threads):
        for shard in job.run.shards:
            if shard.index not in leave_out:
                renderer.render(Task(shard, generation))
    return directory


@contextmanager
def threads(number: int) -> Iterator[None]:
    """As many of torch's threads as an actor would have: with another number a sum may be rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


def make_older(directory: RunDirectory) -> None:
    """Change a run to what a version would have left that did not judge its items."""
    storage = directory.storage
    for marker in list(directory.markers()):
        metadata = io.BytesIO()
        pq.write_table(directory.result_rows(marker).drop_columns(QUALITY), metadata)
        storage.write(marker.metadata.key, metadata.getvalue())
        values = asdict(replace(marker, metadata=stored_object(marker.metadata.key, metadata.getvalue())))
        del values["quality"]
        storage.write(marker_key(marker.shard, marker.generation), json.dumps(values).encode())
    run = json.loads(storage.read(RUN_KEY))
    del run["settings"]["attempts"], run["settings"]["thresholds"]
    storage.write(RUN_KEY, json.dumps(run).encode())


def held(out: str) -> dict[str, bytes]:
    """The objects that a run's markers name, without the attempts in their names."""
    directory = RunDirectory(open_storage(out))
    objects = [stored.key for marker in directory.markers() for stored in marker.objects]
    assert len(set(objects)) == len(objects)
    return {re.sub("-[0-9a-f]{32}", "", key): directory.storage.read(key) for key in objects}
