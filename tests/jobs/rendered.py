"""Runs that are finished, or not quite, without Ray."""

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from jobs.actors import ShardRenderer, ShardWork
from jobs.backend import Backend
from jobs.commit import RunDirectory
from jobs.open_storage import open_storage
from jobs.options import RenderOptions
from jobs.preflight import prepare
from tests.jobs.dummy import DummyBackend


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
    for shard in job.run.shards:
        if shard.index not in leave_out:
            renderer.render(shard, lambda progress: None, generation=generation)
    return directory


def held(out: str) -> dict[str, bytes]:
    """The objects that a run's markers name, without the attempts in their names."""
    directory = RunDirectory(open_storage(out))
    objects = [stored.key for marker in directory.markers() for stored in marker.objects]
    assert len(set(objects)) == len(objects)
    return {re.sub("-[0-9a-f]{32}", "", key): directory.storage.read(key) for key in objects}
