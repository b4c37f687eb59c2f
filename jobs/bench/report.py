"""A measurement for people, as it comes in, and for programs at the end."""

import json

from jobs.bench.measure import STAGES, BatchResult, Bench, Stage
from jobs.bench.published_way import PublishedWay
from jobs.bench.settings import BenchSettings


def run_bench(settings: BenchSettings) -> None:
    """Measure, and print every batch size as soon as it is done, then the summary; the last line is JSON."""
    bench, results = Bench(settings), []
    print(heading(bench), flush=True)
    for result in bench.batches():
        results.append(result)
        print(table(result), flush=True)
    print(summary(bench, results))
    print(json.dumps(document(bench, results)))


def heading(bench: Bench) -> str:
    """What is measured, on what, and how the published way fared."""
    settings, machine = bench.settings, bench.machine
    lines = [
        f"{settings.size} model, {settings.precision}, segments of {bench.segment_seconds:g} s, "
        f"{machine.threads} threads, {machine.cores} cores, {machine.device}",
    ]
    if way := bench.published_way:
        lines.append(
            f"the published way (no cache, batch 1, fp32): {way.audio_seconds_per_second:.4f} audio-s/s; "
            f"{way.decode:.1f} s a segment for decode, estimated from {len(way.measured_steps)} measured steps, "
            f"{way.complete:.1f} s for complete, {way.codec:.1f} s for codec"
        )
    return "\n".join(lines)


def table(result: BatchResult) -> str:
    """One batch size, a line for every stage."""
    audio = result.audio_seconds

    def costs(seconds: float, cpu_seconds: float) -> str:
        return f"{seconds:>9.3f} {cpu_seconds:>8.2f} {seconds / audio * 1000:>11.2f} {audio / seconds:>10.2f}"

    columns = f"{'seconds':>9} {'CPU-s':>8} {'ms/audio-s':>11} {'audio-s/s':>10}"
    lines = ["", f"batch {result.batch_size:<6} {columns} {'GFLOP/s':>9} {'GB/s':>7}"]
    for name in STAGES:
        stage = result.stages[name]
        rates = f"{stage.gflops:>9.1f} {stage.gb_per_second:>7.2f}"
        lines.append(f"  {name:<10} {costs(stage.seconds, stage.cpu_seconds)} {rates}")
    together = f"  {'together':<10} {costs(result.wall_seconds, result.cpu_seconds)}   occupancy {result.occupancy:.1%}"
    return "\n".join([*lines, together])


def summary(bench: Bench, results: list[BatchResult]) -> str:
    """The peaks, and every batch size beside them and beside the published way."""
    peaks, way = bench.peaks, bench.published_way
    gflops = ", ".join(f"{rate:,.0f} GFLOP/s {name}" for name, rate in peaks.gflops.items())
    names = " ".join(f"{name:>9}" for name in STAGES)
    lines = [
        "",
        f"peaks: {gflops}, {peaks.read:.1f} GB/s read (the best of {len(results) + 1} times)",
        f"of the roofline {names} {'audio-s/s':>10}" + (f" {'x published':>12}" if way else ""),
    ]
    for result in results:
        shares = " ".join(f"{_roofline(bench, result.stages[name]):>9.1%}" for name in STAGES)
        ratio = f" {times_published(result, way):>12,.1f}" if way else ""
        lines.append(f"  batch {result.batch_size:<7} {shares} {result.audio_seconds_per_second:>10.2f}{ratio}")
    return "\n".join(lines)


def _roofline(bench: Bench, stage: Stage) -> float:
    return bench.peaks.roofline(stage.work, stage.seconds, bench.settings.precision)


def times_published(result: BatchResult, way: PublishedWay) -> float:
    """How many times as much audio a second as the published way."""
    return result.audio_seconds_per_second / way.audio_seconds_per_second


def document(bench: Bench, results: list[BatchResult]) -> dict[str, object]:
    """All of it, for JSON; rates are per second, and named after their unit."""
    settings, machine, way = bench.settings, bench.machine, bench.published_way
    return {
        "size": settings.size,
        "device": machine.device,
        "cores": machine.cores,
        "threads": machine.threads,
        "precision": settings.precision,
        "segment_seconds": bench.segment_seconds,
        "peak_gflops": {name: round(rate, 1) for name, rate in bench.peaks.gflops.items()},
        "peak_read_gb": round(bench.peaks.read, 2),
        "read_gb_by_method": {name: round(rate, 2) for name, rate in bench.peaks.read_gb_per_second.items()},
        "published_way": way and _published(way),
        "batches": [_batch(bench, result) for result in results],
    }


def _published(way: PublishedWay) -> dict[str, object]:
    return {
        "audio_seconds_per_second": round(way.audio_seconds_per_second, 6),
        "decode_seconds_estimated": round(way.decode, 3),
        "complete_seconds": round(way.complete, 3),
        "codec_seconds": round(way.codec, 3),
        "measured_step_seconds": {str(step): round(seconds, 5) for step, seconds in way.measured_steps.items()},
    }


def _batch(bench: Bench, result: BatchResult) -> dict[str, object]:
    way = bench.published_way
    return {
        "batch_size": result.batch_size,
        "audio_seconds": round(result.audio_seconds, 2),
        "wall_seconds": round(result.wall_seconds, 4),
        "cpu_seconds": round(result.cpu_seconds, 4),
        "audio_seconds_per_second": round(result.audio_seconds_per_second, 4),
        "occupancy": round(result.occupancy, 4),
        "times_published": round(times_published(result, way), 2) if way else None,
        "stages": {
            name: {
                "seconds": round(stage.seconds, 5),
                "cpu_seconds": round(stage.cpu_seconds, 5),
                "ms_per_audio_second": round(stage.seconds / result.audio_seconds * 1000, 4),
                "gflop": round(stage.work.flops / 1e9, 3),
                "gb": round(stage.work.bytes / 1e9, 4),
                "gflops": round(stage.gflops, 2),
                "gb_per_second": round(stage.gb_per_second, 3),
                "audio_seconds_per_second": round(result.audio_seconds / stage.seconds, 3),
                "roofline": round(_roofline(bench, stage), 4),
            }
            for name, stage in result.stages.items()
        },
    }
