"""Runs that are finished, or not quite, without Ray."""

from collections.abc import Container
from pathlib import Path
from typing import Any

from jobs.actors import ShardRenderer, ShardWork
from jobs.commit import RunDirectory
from jobs.open_storage import open_storage
from jobs.options import RenderOptions
from jobs.preflight import prepare
from tests.jobs.dummy import DummyBackend


def render_run(
    manifest: Path, out: Path | str, leave_out: Container[int] = (), generation: int = 0, **options: Any
) -> RunDirectory:
    """Render a manifest with the dummy renderer, but for the shards in ``leave_out``.

    With a ``generation`` above 0, render again what failed in the one before.
    """
    settings: dict[str, Any] = {"actors": 1, "shard_items": 2, "device": "cpu", **options}
    job = prepare(RenderOptions(manifest=str(manifest), out=str(out), **settings), DummyBackend())
    directory = RunDirectory(open_storage(str(out)))
    if generation == 0:
        directory.start(job.run)
    renderer = ShardRenderer(ShardWork(job.run, str(manifest), job.bank, directory.storage, job.backend))
    for shard in job.run.shards:
        if shard.index not in leave_out:
            renderer.render(shard, lambda progress: None, generation=generation)
    return directory
