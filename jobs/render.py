"""The run: everything is checked, then shards are handed to actors until all are done."""

import sys
from dataclasses import replace

from jobs.actors import ShardWork
from jobs.backend import Backend, ModelBackend
from jobs.cluster import local_ray
from jobs.commit import RunDirectory
from jobs.driver import Driver, start_actors
from jobs.dry_run import dry_run
from jobs.options import RenderOptions
from jobs.preflight import Job, prepare
from jobs.report import Display, Totals, say, summary
from jobs.signals import StopSignals
from jobs.storage import open_storage

ALL_RENDERED, NOT_FINISHED, ITEMS_FAILED, INTERRUPTED = 0, 1, 3, 130

STOP_MESSAGE = (
    "stopping: shards in flight are being finished; the same command goes on from there. "
    "Interrupt once more to stop at once and lose them."
)


def render_corpus(options: RenderOptions, backend: Backend | None = None) -> int:
    """Render a manifest, or go on where an earlier call stopped. Returns the exit code of ``render-corpus``.

    JobError, TableError or RendererError say what is wrong with the input; then nothing was written.
    """
    job = prepare(options, backend or ModelBackend.from_options(options))
    directory = RunDirectory(open_storage(options.out))
    warnings = list(job.warnings)
    begun = directory.existing()
    if begun is not None:
        cautions = directory.check_same(begun, job.run, options.shard_items)
        warnings += [f"audio rendered from here on may differ in its last bits: {c}" for c in cautions]
        job = replace(job, run=replace(job.run, shards=begun.shards))
    for warning in warnings:
        say(f"warning: {warning}")

    totals = Totals()
    for marker in directory.markers():
        totals.add(marker)
    if options.dry_run:
        say(dry_run(job, totals.items), sys.stdout)
        return ALL_RENDERED
    code = _render_rest(job, directory, totals, is_new=begun is None)
    say(summary(totals, job.run.items, directory.storage.uri), sys.stdout)
    return code


def _render_rest(job: Job, directory: RunDirectory, totals: Totals, is_new: bool) -> int:
    """Render what no marker says is finished."""
    run = job.run
    shards = [shard for shard in run.shards if shard.index not in totals.shards]
    if not shards:
        say("everything is rendered already")
        return ITEMS_FAILED if totals.failed else ALL_RENDERED
    directory.check_writable()
    actors = min(job.actors, len(shards))
    with local_ray(actors, job.options.cpus_per_actor, job.gpus):
        if is_new:
            directory.start(run)
        say(
            f"rendering {run.items - totals.items:,} of {run.items:,} items in {len(shards):,} shards with "
            f"{actors} actors on {run.settings.device}; model {run.model_id}"
        )
        say(f"licence of the model: {job.facts.licence}")
        display = Display(run.items, totals)
        try:
            with StopSignals(lambda: display.say(STOP_MESSAGE)) as signals:
                work = ShardWork(replace(run, shards=()), job.manifest.path, job.bank, directory.storage, job.backend)
                Driver(work, totals, display, signals).run(shards, start_actors(work, actors))
        finally:
            display.close()
    say(display.session(totals))
    if unfinished := len(run.shards) - len(totals.shards):
        say(f"{unfinished:,} of {len(run.shards):,} shards are not finished; the same command goes on")
        return INTERRUPTED if signals.count else NOT_FINISHED
    return ITEMS_FAILED if totals.failed else ALL_RENDERED
