"""The run: everything is checked, then shards are handed to actors until all are done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from jobs.cluster import connected_ray
from jobs.console import say
from jobs.errors import JobError
from jobs.inputs.inputs import folder_of
from jobs.inspect.report_page import write_report
from jobs.inspect.summary import summary
from jobs.run.actors import start_actors
from jobs.run.agreement import Agreement
from jobs.run.beginning import Beginning, find_beginning, overwrite
from jobs.run.display import Display
from jobs.run.driver import Driver, Limits
from jobs.run.dry_run import dry_run
from jobs.run.fleet import Fleet
from jobs.run.heartbeat import Heartbeat
from jobs.run.options import RenderOptions
from jobs.run.plan import longest_first
from jobs.run.preflight import Job, prepare
from jobs.run_directory.events import EventLog
from jobs.run_directory.lease import Lease
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from jobs.shard.backend import Backend
from jobs.shard.shard_renderer import ShardWork
from jobs.shard.task import Task
from jobs.signals import StopSignals
from jobs.storage import Storage, open_storage
from schemas.run import Run

ALL_RENDERED, NOT_FINISHED, ITEMS_FAILED, INTERRUPTED = 0, 1, 3, 130

STOP_MESSAGE = (
    "stopping: shards in flight are being finished; the same command goes on from there. "
    "Interrupt once more to stop at once and lose them."
)


def render_corpus(options: RenderOptions, backend: Backend | None = None) -> int:
    """Render a manifest, or go on where an earlier call stopped. Returns the exit code of ``render-corpus``.

    JobError, TableError or RendererError say what is wrong with the input; then nothing was written.
    """
    job = prepare(options, backend)
    directory = RunDirectory(open_storage(options.out, options.s3))
    for warning in job.warnings:
        say(f"warning: {warning}")
    is_replaced = options.overwrite and not options.dry_run and overwrite(directory, options.yes)
    beginning = Beginning(job, None) if is_replaced else find_beginning(job, directory)
    for warning in beginning.warnings:
        say(f"warning: {warning}")

    totals = Totals()
    for marker in directory.markers():
        totals.add(marker)
    if options.dry_run:
        say(dry_run(beginning.job, totals.items), sys.stdout)
        return ALL_RENDERED
    code = _render_rest(beginning, directory, totals)
    run = beginning.job.run
    say(summary(totals, run.items, directory.storage.uri, run.settings.layout), sys.stdout)
    return code


def _render_rest(beginning: Beginning, directory: RunDirectory, totals: Totals) -> int:
    """Render what no marker says is finished, and if asked to, what failed."""
    job, run = beginning.job, beginning.job.run
    tasks = _tasks(job, totals)
    if not tasks:
        say("everything is rendered already")
        return ITEMS_FAILED if totals.failed else ALL_RENDERED
    actors = min(job.actors, len(tasks))
    with _lease(directory.storage) as lease, connected_ray(job.options, actors, job.gpus) as head:
        beginning.write(directory)
        again = sum(task.generation > 0 for task in tasks)
        say(
            f"rendering {run.items - totals.items:,} of {run.items:,} items in {len(tasks) - again:,} shards with "
            f"{actors} actors on {run.settings.device}; model {run.model_id}"
        )
        if again:
            say(f"rendering the {totals.failed:,} failed items of {again:,} finished shards again")
        say(f"licence of the model: {job.facts.licence}")
        display, events = Display(run.items, totals), EventLog(directory.storage)
        events.add("driver_started", actors=actors, tasks=len(tasks), items_done=totals.items)
        try:
            stop_signals = StopSignals(lambda: display.say(STOP_MESSAGE))
            with Heartbeat(lease, events) as heartbeat, stop_signals as signals:
                work = ShardWork(
                    replace(run, shards=()), run.manifest_path, job.bank, directory.storage, job.backend, job.inputs
                )
                limits = Limits(job.options.item_timeout, job.options.max_failures)
                several = job.options.ray_address is not None
                fleet = Fleet(display, events, several, job.options.node_status, head)
                driver = Driver(work, totals, display, signals, events, heartbeat, limits, fleet)
                driver.run(tasks, start_actors(work, actors, Agreement.of_this_process() if several else None))
        finally:
            display.close()
            events.add("driver_ended", items_done=totals.items, failed=totals.failed)
            events.write()
        display.say(display.session(totals))
    if signals.count < 2:
        _report(directory, run, totals)
    unfinished = sum(totals.shards.get(task.shard.index, -1) < task.generation for task in tasks)
    if unfinished:
        say(f"{unfinished:,} of {len(run.shards):,} shards are not finished; the same command goes on")
        return INTERRUPTED if signals.count else NOT_FINISHED
    return ITEMS_FAILED if totals.failed else ALL_RENDERED


def _report(directory: RunDirectory, run: Run, totals: Totals) -> None:
    try:
        say(f"report: {write_report(directory, run, totals)}")
    except JobError as error:  # The run is what it is without it.
        say(f"warning: no report was written: {error}")


def _tasks(job: Job, totals: Totals) -> list[Task]:
    """What is left to do, the longest first; then what failed, if it is to be tried again."""
    left = [shard for shard in job.run.shards if shard.index not in totals.shards]
    folder = folder_of(job.run.manifest_path)
    tasks = [Task(shard) for shard in longest_first(job.manifest, folder, job.inputs, left)]
    if job.options.retry_failed:
        failed = totals.shards_with_failures
        tasks += [Task(job.run.shards[index], generation=totals.shards[index] + 1) for index in failed]
    return tasks


@contextmanager
def _lease(storage: Storage) -> Iterator[Lease]:
    lease = Lease(storage)
    lease.acquire(say)
    try:
        yield lease
    finally:
        lease.release()
