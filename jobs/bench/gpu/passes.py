"""The passes of the model and the codec, each by itself, at the sizes at which they run."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from jobs.bench.codec_work import codec_work
from jobs.bench.gpu.bed import FRAME_RATE, Bed
from jobs.bench.gpu.figures import Figure
from jobs.bench.work import Span, complete_work, decode_work, prefill_work
from renderer.codecs.encodec_codec import EncodecCodec
from renderer.codecs.side_by_side import run_side_by_side
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.sampling import Sampling
from renderer.device import codec_dtype, synchronize

STEP_SHARE, COMPLETE_SHARE, PREFILL_SHARE, CODEC_SHARE = 0.60, 0.50, 0.30, 0.30
"""Of the rooflines, as predicted; a step with few slots also waits for the launches and tails of its kernels."""

LEAST_STEP_SECONDS = 1.0e-3
"""As predicted: some 190 kernels in one graph, and one reading of the weights."""


@torch.inference_mode()
def steps(bed: Bed) -> Iterator[Figure]:
    """Decoding at several numbers of slots, in the middle of segments."""
    config = bed.sizes.model
    for slots in bed.sizes.batches:
        runner, segments = bed.runner(slots), bed.segments(slots)
        runner.prefill(list(enumerate(segments)))
        at_once, sampling = runner.steps_at_once, Sampling()
        calls = max(2, segments[0].frames // 2 // at_once)
        for _ in range(calls):
            runner.decode([0] * slots, sampling)
        seconds = bed.timed(partial(runner.decode, [0] * slots, sampling), min(calls, 10)) / at_once
        middle = calls * at_once
        spans = [Span(len(each.rows), len(each.prompt) + middle, 1) for each in segments]
        work = decode_work(config, spans, bed.dtype.itemsize, bed.dtype.itemsize)
        least = bed.least_seconds(work)
        yield Figure(
            f"step, {slots} slots",
            seconds * 1e3,
            "ms",
            max(least / STEP_SHARE, LEAST_STEP_SECONDS) * 1e3,
            f"{work.bytes / seconds / 1e9:.0f} GB/s, {least / seconds:.0%} of the roofline, "
            f"{seconds / slots * FRAME_RATE * 1e3:.3f} ms an audio-second",
        )
        del runner
    if bed.device.type == "cuda":
        yield _kernels_of_a_step(bed)


def _kernels_of_a_step(bed: Bed) -> Figure:
    """What a step is made of, by the profiler: into a file."""
    slots = bed.sizes.batches[-1]
    runner = bed.runner(slots)
    runner.prefill(list(enumerate(bed.segments(slots))))
    for _ in range(3):
        runner.decode([0] * slots, Sampling())
    synchronize(bed.device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        runner.decode([0] * slots, Sampling())
        synchronize(bed.device)
    table = profile.key_averages().table(sort_by="self_device_time_total", row_limit=30, max_name_column_width=90)
    (bed.figures.folder / "kernels_of_a_step.txt").write_text(table)
    count = sum(event.count for event in profile.key_averages())
    return Figure("kernels of a step", count / runner.steps_at_once, "", 190, "kernels_of_a_step.txt")


@torch.inference_mode()
def prefill(bed: Bed) -> Iterator[Figure]:
    """A full pack of MIDI rows and prompts."""
    segments = bed.segments(max(1, bed.sizes.packed.prefill // _prefix(bed)))
    runner = bed.runner(len(segments))
    admitted = list(enumerate(segments))
    seconds = bed.timed(lambda: runner.prefill(admitted))
    work = prefill_work(bed.sizes.model, [_span(each) for each in segments], bed.dtype.itemsize, bed.dtype.itemsize)
    yield _stage("prefill", bed, seconds, bed.least_seconds(work), work.flops, PREFILL_SHARE, segments)


@torch.inference_mode()
def complete(bed: Bed) -> Iterator[Figure]:
    """A full pack through the non-autoregressive stages."""
    segments = bed.segments(bed.sizes.packed.completes)
    runner = bed.runner(1)
    codes = [torch.zeros(each.frames, dtype=torch.int64, device=bed.device) for each in segments]
    drawn = [Drawn(each, of) for each, of in zip(segments, codes, strict=True)]
    seconds = bed.timed(lambda: runner.complete(drawn))
    work = complete_work(bed.sizes.model, [_span(each) for each in segments], bed.dtype.itemsize)
    yield _stage("complete", bed, seconds, bed.least_seconds(work), work.flops, COMPLETE_SHARE, segments)


@torch.inference_mode()
def codec(bed: Bed) -> Iterator[Figure]:
    """An EnCodec's decoder over many clips: all of it, its LSTM, and what its arithmetic does to the audio."""
    clips, frames = bed.sizes.codec_clips, round(bed.sizes.seconds * FRAME_RATE)
    codes = torch.randint(bed.codec.codebook_size, (clips, bed.codec.codebooks, frames), device=bed.device)
    lengths = torch.full((clips,), frames)
    audio = clips * frames / FRAME_RATE
    work = codec_work(bed.codec, frames, clips)
    seconds = bed.timed(lambda: bed.codec.decode(codes, lengths), 3)
    least = bed.least_seconds(work)
    note = f"{work.flops / seconds / 1e12:.1f} TFLOP/s, {least / seconds:.0%} of the roofline"
    yield Figure("codec", seconds / audio * 1e3, "ms/audio-s", least / CODEC_SHARE / audio * 1e3, note)
    lstm = bed.codec.decoder.model[1].lstm
    assert isinstance(lstm, nn.LSTM)
    dtype = next(lstm.parameters()).dtype
    rows = [torch.randn(frames, lstm.input_size, device=bed.device).to(dtype) for _ in range(clips)]
    seconds = bed.timed(lambda: run_side_by_side(lstm, rows, bed.codec.clips_at_once), 3)
    yield Figure("codec's LSTM", seconds / audio * 1e3, "ms/audio-s", 0.02)
    backwards = bed.codec.decode(codes.flip(0), lengths).flip(0)
    alone = bed.codec.decode(codes[:1], lengths[:1])
    together = bed.codec.decode(codes, lengths)
    same = torch.equal(together, backwards) and torch.equal(together[:1], alone)
    yield Figure("codec, same bits in other company", note="yes" if same else "NO")
    torch.manual_seed(0)
    exact = EncodecCodec(bed.sizes.codec).for_inference().to(bed.device).decode(codes[:2], lengths[:2])
    noise = (exact - together[:2]).square().mean() / exact.square().mean()
    predicted = 52.0 if codec_dtype(bed.device, bed.dtype) == torch.float16 else None
    yield Figure("codec, signal to noise", float(-10 * noise.clamp_min(1e-20).log10()), "dB", predicted)


def _span(segment: ModelInput) -> Span:
    return Span(len(segment.rows), len(segment.prompt), segment.frames)


def _prefix(bed: Bed) -> int:
    return bed.segments(1)[0].prefix + 1


def _stage(
    name: str, bed: Bed, seconds: float, least: float, flops: int, share: float, segments: list[ModelInput]
) -> Figure:
    audio = sum(each.frames for each in segments) / FRAME_RATE
    note = f"{flops / seconds / 1e12:.1f} TFLOP/s, {least / seconds:.0%} of the roofline, {len(segments)} segments"
    return Figure(name, seconds / audio * 1e3, "ms/audio-s", least / share / audio * 1e3, note)
