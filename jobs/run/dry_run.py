"""``--dry-run``: how much a run would render, and about how long it would take."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.console import duration
from jobs.errors import JobError
from jobs.inputs.inputs import folder_of
from jobs.option import common_values
from jobs.run.preflight import Job
from jobs.shard.items import ItemReader, read_performance
from renderer.decoding.sampling import Sampling
from renderer.errors import RendererError
from renderer.midi.notes import Excerpt
from renderer.rendering import RenderRequest
from renderer.steps import render_all
from schemas.manifest import ManifestRow

SAMPLED_ROWS = 500
CALIBRATION_SECONDS = 3.0
SHOWN_FAILURES = 3


@dataclass(frozen=True)
class _Sample:
    """Rows evenly spread over the manifest, read: the good ones, their seconds of audio, failures."""

    readable: Sequence[ManifestRow]
    seconds: float
    failures: Sequence[str]
    rows: int


def dry_run(job: Job, done: int) -> str:
    """Describe the run, of which ``done`` items are finished; nothing is written."""
    sample = _read_sample(job)
    items, everything = job.run.items, sample.rows == job.run.items
    seconds = sample.seconds * items / sample.rows
    lines = [
        f"items: {items:,} in {len(job.run.shards):,} shards, of which {done:,} items are done",
        f"audio: {duration(seconds)}"
        + ("" if everything else f", extrapolated from {sample.rows:,} rows evenly spread"),
        f"unreadable: {len(sample.failures):,} of {sample.rows:,} rows read",
        *(f"  {failure}" for failure in sample.failures[:SHOWN_FAILURES]),
    ]
    speed, measured = _measure_speed(job, sample.readable) if sample.readable else (0.0, 0.0)
    if not speed:
        return "\n".join([*lines, "time: no estimate, because no row can be rendered"])
    left = seconds * (items - done) / items / (speed * job.actors)
    lines.append(
        f"speed: {speed:.2f} audio-seconds per second with one actor, measured over {measured:.1f} s of audio "
        f"in a full batch of {job.run.settings.batch_size}"
    )
    lines.append(
        f"time: roughly {duration(left)} for what is left, with {job.actors} actors on {job.run.settings.device}, "
        "if batches are full and actors do not slow each other down"
    )
    return "\n".join(lines)


def _read_sample(job: Job) -> _Sample:
    items, folder = job.run.items, folder_of(job.run.manifest_path)
    step = max(1, math.ceil(items / SAMPLED_ROWS))
    readable, failures, seconds = [], [], 0.0
    rows = list(itertools.islice(job.manifest.rows(), 0, items, step))
    for row in rows:
        try:
            performance = read_performance(row, folder, job.inputs, job.run.settings)
        except (RendererError, JobError) as error:
            failures.append(f"{row.item_id}: {error}")
        else:
            seconds += performance.notes.end + job.run.settings.tail
            readable.append(row)
    return _Sample(readable, seconds, failures, len(rows))


def _measure_speed(job: Job, rows: Sequence[ManifestRow]) -> tuple[float, float]:
    """Audio-seconds per second of a full batch of short excerpts, and how many audio-seconds that was."""
    settings = job.run.settings
    renderer = job.backend.load(settings.device)
    items = ItemReader(settings, job.run.manifest_path, job.run.prompts_path, job.inputs, renderer)
    excerpts = list(itertools.islice(_excerpts(items, rows), settings.batch_size))
    if not excerpts:
        return 0.0, 0.0
    batch = [
        replace(excerpt, item_id=str(index))
        for index, excerpt in enumerate(itertools.islice(itertools.cycle(excerpts), settings.batch_size))
    ]
    sampling = Sampling(**common_values(Sampling, settings))

    def render(requests: Sequence[RenderRequest]) -> float:
        renderings = render_all(renderer, requests, sampling)
        return sum(len(rendering.samples) / rendering.sample_rate for rendering in renderings)

    render(batch[:1])  # The first call is slower than all others.
    began = time.monotonic()
    seconds = render(batch)
    return seconds / (time.monotonic() - began), seconds


def _excerpts(items: ItemReader, rows: Sequence[ManifestRow]) -> Iterator[RenderRequest]:
    for row in rows:
        try:
            request = items.request(row)
        except (RendererError, JobError):
            continue
        start = float(request.performance.notes.onset[0])
        excerpt = Excerpt(start, start + CALIBRATION_SECONDS)
        yield replace(request, performance=request.performance.excerpt(excerpt))
