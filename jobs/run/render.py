"""The run: everything is checked, then shards are handed to actors until all are done."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from jobs.cluster import connected_ray
from jobs.console import say
from jobs.inputs.inputs import folder_of
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.inspect.report_page import write_report
from jobs.inspect.summary import summary
from jobs.run.agreement import Agreement
from jobs.run.beginning import Beginning, find_beginning, overwrite
from jobs.run.dispatcher import Dispatcher, rows_ahead
from jobs.run.display import Display
from jobs.run.driver import Driver, Limits
from jobs.run.dry_run import dry_run
from jobs.run.fleet import Fleet
from jobs.run.heartbeat import Heartbeat, briefly
from jobs.run.model_backend import local_directory
from jobs.run.options import RenderOptions
from jobs.run.preflight import Job, prepare
from jobs.run.row_weights import RowWeights
from jobs.run.shipment import shipment
from jobs.run.weigh_rows import weigh_rows
from jobs.run_directory.events import EventLog
from jobs.run_directory.index_keeper import IndexKeeper
from jobs.run_directory.lease import Lease
from jobs.run_directory.marker_index import MarkerIndex
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from jobs.shard.backend import Backend
from jobs.shard.shard_renderer import ShardWork
from jobs.shard.task import Task
from jobs.signals import StopSignals
from jobs.storage import Storage, open_storage

ALL_RENDERED, NOT_FINISHED, ITEMS_FAILED, INTERRUPTED = 0, 1, 3, 130

ROWS_FOR_AN_ACTOR = 30
"""So many rows of a shard are worth an actor of their own."""

STOP_MESSAGE = (
    "stopping: shards in flight are being finished; the same command goes on from there. "
    "Interrupt once more to stop at once and lose them."
)

SILENT_STOP_MESSAGE = (
    "stopping at once: the storage does not answer, so what is in flight cannot be finished; "
    "the same command goes on from what is"
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

    totals, indexed = _finished(directory)
    if options.dry_run:
        say(dry_run(beginning.job, totals.items), sys.stdout)
        return ALL_RENDERED
    code = _render_rest(beginning, directory, totals, indexed)
    run = beginning.job.run
    say(summary(totals, run.items, directory.storage.uri, run.settings.layout), sys.stdout)
    return code


def _finished(directory: RunDirectory) -> tuple[Totals, Collection[str]]:
    """What is finished, and the markers that the index knows."""
    totals, index = Totals(), MarkerIndex.read(directory.storage)
    for marker in directory.summaries(index):
        totals.add(marker)
    return totals, index.known


def _render_rest(beginning: Beginning, directory: RunDirectory, totals: Totals, indexed: Collection[str]) -> int:
    """Render what no marker says is finished, and if asked to, what failed. ``indexed`` markers are in the index."""
    job, run = beginning.job, beginning.job.run
    left = [shard for shard in run.shards if shard.index not in totals.shards]
    known = weigh_rows(job.manifest, folder_of(run.manifest_path), job.inputs) if left else None
    weights = RowWeights(known)
    tasks = [*weights.longest_first(left), *_failed(job, totals)]
    if not tasks:
        say("everything is rendered already")
        return ITEMS_FAILED if totals.failed else ALL_RENDERED
    actors = min(job.actors, max(len(tasks), sum(shard.row_count for shard in left) // ROWS_FOR_AN_ACTOR))
    sent = shipment(local_directory(job.options.model)) if job.options.ship else nullcontext()
    with (
        _lease(directory.storage) as lease,
        sent as environment,
        connected_ray(job.options, actors, job.gpus, environment=environment) as head,
    ):
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
        keeper, heartbeat = IndexKeeper(directory, totals, indexed), Heartbeat(lease, events)
        signals = StopSignals(lambda: _stop(signals, heartbeat, display))
        try:
            with keeper, heartbeat, signals:
                work = ShardWork(
                    replace(run, shards=()), run.manifest_path, job.bank, directory.storage, job.backend, job.inputs
                )
                limits = Limits(job.options.item_timeout, job.options.max_failures)
                several = job.options.ray_address is not None
                fleet = Fleet(display, events, several, job.options.node_status, head)
                dispatcher = Dispatcher(tasks, weights, rows_ahead(run.settings.batch_size), fleet.places)
                agreement = Agreement.of_this_process() if several else None
                reporting = (totals, display, signals, events, heartbeat)
                Driver(work, *reporting, limits, dispatcher, actors, fleet, agreement).run()
        finally:
            display.close()
            events.add("driver_ended", items_done=totals.items, failed=totals.failed)
            if signals.count < 2:
                events.write()
            else:
                briefly(events.write)
        display.say(display.session(totals))
    if signals.count < 2:
        _report(directory, job, totals)
    unfinished = sum(totals.shards.get(task.shard.index, -1) < task.generation for task in tasks)
    if unfinished:
        say(f"{unfinished:,} of {len(run.shards):,} shards are not finished; the same command goes on")
        return INTERRUPTED if signals.count else NOT_FINISHED
    return ITEMS_FAILED if totals.failed else ALL_RENDERED


def _stop(signals: StopSignals, heartbeat: Heartbeat, display: Display) -> None:
    """Stop when what is in flight is finished; at once if it cannot be stored."""
    if heartbeat.silent_seconds:
        signals.stop_at_once()
        display.say(SILENT_STOP_MESSAGE)
    else:
        display.say(STOP_MESSAGE)


def _report(directory: RunDirectory, job: Job, totals: Totals) -> None:
    """Write the report, if that can be done: the run is what it is without it."""
    prompts = PromptRecordings(job.run, job.inputs, job.options.model)
    try:
        say(f"report: {write_report(directory, totals, prompts)}")
    except (Exception, KeyboardInterrupt) as error:
        say(
            f"warning: no report was written: {str(error) or type(error).__name__}; "
            f"midi-valle report {directory.storage.uri} writes it"
        )


def _failed(job: Job, totals: Totals) -> list[Task]:
    """What failed in finished shards, if it is to be tried again."""
    failed = totals.shards_with_failures if job.options.retry_failed else ()
    return [Task(job.run.shards[index], generation=totals.shards[index] + 1) for index in failed]


@contextmanager
def _lease(storage: Storage) -> Iterator[Lease]:
    lease = Lease(storage)
    lease.acquire(say)
    try:
        yield lease
    finally:
        briefly(lease.release)
