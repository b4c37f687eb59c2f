"""``midi-valle status``: what a run has done so far, by its markers."""

from jobs.console import duration
from jobs.inspect.summary import reasons, verdicts
from jobs.run_directory.lease import find_claim
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run

SHOWN_SHARDS = 10


def status(directory: RunDirectory) -> str:
    """What is done, what failed and why, and what is missing; JobError if no run began there."""
    run = directory.begun()
    totals = Totals()
    for marker in directory.summaries():
        totals.add(marker)

    missing = [shard.index for shard in run.shards if shard.index not in totals.shards]
    rendered = totals.items - totals.failed
    lines = [
        f"{directory.storage.uri}: begun {run.created}, model {run.model_id}, layout {run.settings.layout}, "
        f"format {run.settings.format}",
        f"items: {rendered:,} of {run.items:,} rendered, {totals.failed:,} failed, "
        f"{run.items - totals.items:,} not finished",
        f"shards: {len(totals.shards):,} of {len(run.shards):,} finished" + _numbers(missing),
        f"audio: {duration(totals.audio_seconds)}",
    ]
    lines += _in_flight(directory, run, totals)
    if totals.render_seconds:
        speed = totals.audio_seconds / totals.render_seconds
        lines.append(f"speed: {speed:.2f} audio-seconds per second of one actor, without start and storage")
    return "\n".join([*lines, *verdicts(totals), *reasons(totals)])


def _in_flight(directory: RunDirectory, run: Run, totals: Totals) -> list[str]:
    """Who is at work on which shards, as the driver said last."""
    claim = find_claim(directory.storage)
    if claim is None:
        return []
    if claim.is_dead_here:
        return [f"in flight: nothing; {claim} has ended without finishing, the same command goes on"]
    sizes = {str(shard.index): shard.row_count for shard in run.shards if shard.index not in totals.shards}
    shards = [f"{index} ({done:g} of {sizes[index]} items)" for index, done in claim.shards.items() if index in sizes]
    more = ", ..." if len(shards) > SHOWN_SHARDS else ""
    listed = ", ".join(shards[:SHOWN_SHARDS]) + more
    return [f"in flight: {f'shards {listed}' if shards else 'no shard'}; {claim} said so at {claim.time}"]


def _numbers(shards: list[int]) -> str:
    if not shards:
        return ""
    more = ", ..." if len(shards) > SHOWN_SHARDS else ""
    return f"; not finished: {', '.join(map(str, shards[:SHOWN_SHARDS]))}{more}"
