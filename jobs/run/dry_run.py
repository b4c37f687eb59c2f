"""``--dry-run``: how much a run would render, how long that takes, how much it fills and what it costs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs.console import duration, size
from jobs.inputs.inputs import is_s3
from jobs.run.calibration import Calibration, RowSample, calibrate, sample_rows
from jobs.run.gpu_speeds import gpu_hours
from jobs.run.preflight import Job
from jobs.run.storage_needs import StorageNeeds

SHOWN_FAILURES = 3


def dry_run(job: Job, done: int) -> str:
    """Describe the run, of which ``done`` items are finished; nothing is written."""
    sample = sample_rows(job)
    seconds = sample.seconds * job.run.items / sample.rows
    lines = list(_amount(job, done, sample, seconds))
    measured = calibrate(job, sample.readable) if sample.readable else None
    if measured is None:
        return "\n".join([*lines, "time: no estimate, because no row can be rendered"])
    left = seconds * (job.run.items - done) / job.run.items
    lines += _time(job, measured, left)
    lines += _storage(job, measured, seconds)
    return "\n".join([*lines, *_money(job, measured, left)])


def _amount(job: Job, done: int, sample: RowSample, seconds: float) -> Iterator[str]:
    everything = sample.rows == job.run.items
    yield f"items: {job.run.items:,} in {len(job.run.shards):,} shards, of which {done:,} items are done"
    yield f"audio: {duration(seconds)}" + (
        "" if everything else f", extrapolated from {sample.rows:,} rows evenly spread"
    )
    yield f"unreadable: {len(sample.failures):,} of {sample.rows:,} rows read"
    yield from (f"  {failure}" for failure in sample.failures[:SHOWN_FAILURES])


def _time(job: Job, measured: Calibration, left: float) -> Iterator[str]:
    settings = job.run.settings
    yield (
        f"speed: {measured.speed:.2f} audio-seconds per second with one actor, measured over {measured.seconds:.1f} s "
        f"of audio in a full batch of {settings.batch_size}"
    )
    yield (
        f"time: roughly {duration(left / (measured.speed * job.actors))} for what is left, with {job.actors} actors on "
        f"{settings.device}, if batches are full and actors do not slow each other down"
    )
    where = "GPU memory" if settings.device == "cuda" else "memory"
    yield f"{where}: {size(measured.memory)} at most for this; each actor needs as much, and more for long items"


def _storage(job: Job, measured: Calibration, seconds: float) -> Iterator[str]:
    settings = job.run.settings
    needs = StorageNeeds(job.run, measured, seconds)
    others = ", ".join(f"{name} {size(needs.size(settings.layout, name))}" for name in measured.audio_bytes)
    free = _free(job.options.out)
    room = "" if free is None else f"; {size(free)} are free there"
    yield f"storage: about {size(needs.size(settings.layout, settings.format))} as {settings.format}{room}"
    if settings.layout != "none":
        yield f"  in other formats: {others}"
    if is_s3(job.options.out):
        counts = ", ".join(f"{layout} {needs.requests(layout):,}" for layout in needs.layouts)
        yield f"requests that write: {needs.requests(settings.layout):,} ({counts})"


def _free(out: str) -> int | None:
    """Bytes that are free where a local run will lie."""
    if is_s3(out):
        return None
    there = next(folder for folder in (Path(out).absolute(), *Path(out).absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _money(job: Job, measured: Calibration, left: float) -> Iterator[str]:
    price = job.options.gpu_price

    def cost(hours: float) -> str:
        return "" if price is None else f", ${hours * price:,.2f}"

    if job.run.settings.device == "cuda":
        hours = left / measured.speed / 3600
        yield f"GPU hours: {hours:.2g} on this machine's GPU, measured{cost(hours)}"
    for card, hours in gpu_hours(job.run.model_id, left):
        yield f"GPU hours: {hours:.2g} on one {card}, calculated, not measured{cost(hours)}"
