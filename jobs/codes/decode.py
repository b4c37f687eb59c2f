"""``midi-valle decode``: a run that keeps codes becomes the run that it would have been with audio."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace

from jobs.codes.coded_run import CodedRun
from jobs.codes.decode_options import DecodeOptions
from jobs.codes.shard_decoder import DecodeWork, decode_shard, load_decoder
from jobs.console import say
from jobs.errors import JobError
from jobs.output.parquet_archive import AUDIO, MIDI
from jobs.run_directory.lease import HEARTBEAT_SECONDS, Lease
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from jobs.storage import S3Access, open_storage
from jobs.worker_processes import worker_processes
from schemas.marker import Marker
from schemas.run import Run

ALL_DECODED, NOT_FINISHED = 0, 1

Advance = Callable[[int], object]


def decode_run(options: DecodeOptions, progress: Advance = lambda items: None) -> tuple[int, Totals, Run]:
    """Decode what is finished of a run, as far as it is not decoded yet, into another run's folder.

    Returns the exit code of ``midi-valle decode``, what there is now, and the run that was made; ``progress`` gets
    of items as they are decoded. JobError says what is wrong with the run, or with the folder.
    """
    access = S3Access(options.s3_endpoint_url)
    coded = CodedRun.open(options.run, options.model, access)
    directory = RunDirectory(open_storage(options.out, access))
    settings = replace(coded.run.settings, layout=options.layout, id_separator=options.id_separator)
    made = replace(coded.run, settings=settings)
    _check_fits(coded, made)
    directory.existing()  # JobError for a folder of something else, before anything is written into it.
    with ExitStack() as held:
        lease = Lease(directory.storage)
        lease.acquire(say)
        held.callback(lease.release)
        _begin(directory, made)
        totals = Totals()
        for marker in directory.markers():
            totals.add(marker)
        left = [marker for marker in coded.directory.markers() if _is_left(marker, totals)]
        if left:
            work = DecodeWork(coded, made, directory.storage, options.device or settings.device)
            pool = held.enter_context(_workers(options, work, len(left)))
            try:
                _decode(pool, left, lease, totals, progress)
            except BrokenProcessPool:
                raise JobError(
                    "a worker has died, perhaps for lack of memory: give fewer --workers; the same command goes on"
                ) from None
    return NOT_FINISHED if len(totals.shards) < len(made.shards) else ALL_DECODED, totals, made


def _check_fits(coded: CodedRun, made: Run) -> None:
    """JobError for ids or columns that the layout cannot hold; those of codes can be any."""
    layout, separator = made.settings.layout, made.settings.id_separator
    sign, remedy = {"files": ("/", "--id-separator"), "webdataset": (".", "another --layout")}.get(layout, ("", ""))
    for marker in coded.directory.markers():
        rows = coded.directory.result_rows(marker, ["item_id", AUDIO, MIDI])
        if layout == "parquet" and len(rows.column_names) > 1:
            name = rows.column_names[-1]
            raise JobError(f"the manifest's column {name!r} clashes with --layout parquet: give another --layout")
        ids = [str(item_id) for item_id in rows["item_id"].to_pylist()]
        wrong = [item_id for item_id in ids if sign and sign in item_id]
        if wrong and separator is None:
            raise JobError(f"item id {wrong[0]!r} holds a {sign}, which --layout {layout} cannot keep: give {remedy}")


def _is_left(marker: Marker, totals: Totals) -> bool:
    return totals.shards.get(marker.shard, -1) < marker.generation


def _begin(directory: RunDirectory, made: Run) -> None:
    """Write run.json, or find the one of an earlier call."""
    existing = directory.existing()
    if existing is None:
        directory.start(made)
    elif existing.shards != made.shards and existing.created == made.created:
        directory.change(existing, made)  # The run was extended.
    elif existing != made:
        directory.check_same(existing, made, None)
        raise JobError(f"{directory.storage.uri} holds another run, begun {existing.created}: choose another folder")


def _workers(options: DecodeOptions, work: DecodeWork, shards: int) -> ProcessPoolExecutor:
    """Processes that decode: as many as asked for, by default one on a GPU, and all that fit on the CPUs."""
    fitting = 1 if work.device == "cuda" else max(1, len(os.sched_getaffinity(0)) // work.made.threads)
    count = min(options.workers or fitting, shards)
    return worker_processes(count, load_decoder, work)


def _decode(pool: Executor, left: Sequence[Marker], lease: Lease, totals: Totals, progress: Advance) -> None:
    pending = {pool.submit(decode_shard, marker) for marker in left}
    try:
        while pending:
            done, pending = wait(pending, HEARTBEAT_SECONDS, FIRST_COMPLETED)
            lease.renew()
            for shard in done:
                marker = shard.result()
                totals.add(marker)
                progress(marker.items)
    finally:
        for shard in pending:
            shard.cancel()
