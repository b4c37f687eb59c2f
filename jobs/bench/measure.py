"""The measurement: a batch of segments from MIDI rows to audio, for every batch size of the sweep."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch

from jobs.bench.codec_work import codec_work
from jobs.bench.network import RandomSegment, open_network, random_segment
from jobs.bench.peaks import Peaks, measure_peaks
from jobs.bench.published_way import PublishedWay, measure_published_way
from jobs.bench.settings import BenchSettings
from jobs.bench.work import Span, Work, complete_work, decode_work, prefill_work
from renderer.codecs.codec import decode_clips
from renderer.decoding.engine import Engine
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling
from renderer.device import (
    cache_dtype,
    choose_device,
    choose_precision,
    codec_dtype,
    compute_the_same_way,
    device_name,
    precision_named,
)
from renderer.stopwatch import Stopwatch

STAGES = ("prefill", "decode", "complete", "codec")


@dataclass(frozen=True)
class Stage:
    """Seconds that a stage took for the batch, and the work that it could not do without."""

    seconds: float
    cpu_seconds: float
    work: Work

    @property
    def gflops(self) -> float:
        """Achieved, of the counted operations."""
        return self.work.flops / self.seconds / 1e9

    @property
    def gb_per_second(self) -> float:
        """Achieved, of the counted traffic."""
        return self.work.bytes / self.seconds / 1e9


@dataclass(frozen=True)
class BatchResult:
    """One batch size; ``cpu_seconds`` of all threads of this process show what else the machine did meanwhile."""

    batch_size: int
    audio_seconds: float
    wall_seconds: float
    cpu_seconds: float
    occupancy: float
    stages: dict[str, Stage]

    @property
    def audio_seconds_per_second(self) -> float:
        """Of everything together."""
        return self.audio_seconds / self.wall_seconds


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    device: str
    cores: int
    threads: int


class Bench:
    """A sweep. The published way is measured first, the batch sizes by ``batches``, in turn.

    ``peaks`` are the best of all times that they were measured: at first, and after every batch. On a machine that does
    other things as well, once would not do.
    """

    def __init__(self, settings: BenchSettings) -> None:
        self._device = choose_device(settings.device)
        compute_the_same_way(self._device)
        self.settings = replace(settings, precision=choose_precision(settings.precision, self._device.type))
        self._precision = precision_named(self.settings.precision)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.machine = Machine(device_name(self._device), os.cpu_count() or 1, torch.get_num_threads())
        self.peaks = self._peaks()
        model, codec, longest = open_network(settings.size)
        model, codec = model.to(self._device), codec.eval().to(self._device)
        self.segment_seconds = settings.seconds or longest
        self.published_way: PublishedWay | None = None
        if settings.published:
            segment = random_segment(0, self.segment_seconds, model, codec.frame_rate)
            self.published_way = measure_published_way(model, codec, segment, self._device)
        dtype = self._precision.arithmetic
        self._model = model.to(dtype)
        self._codec = codec.for_inference().to(codec_dtype(self._device, dtype))

    def batches(self) -> Iterator[BatchResult]:
        """Measure one batch size after another, each after a short warm-up."""
        for batch_size in self.settings.batch_sizes:
            self._render(self._segments(batch_size, 0.2), self._engine(batch_size, Stopwatch(self._device)))
            result = self._measure(self._segments(batch_size, self.segment_seconds))
            self.peaks = self.peaks.best_with(self._peaks())
            yield result

    def _peaks(self) -> Peaks:
        return measure_peaks(self._device, self.settings.precision)

    def _segments(self, count: int, seconds: float) -> list[RandomSegment]:
        return [random_segment(index, seconds, self._model, self._codec.frame_rate) for index in range(count)]

    def _measure(self, segments: list[RandomSegment]) -> BatchResult:
        watch = Stopwatch(self._device)
        engine = self._engine(len(segments), watch)
        wall, cpu = time.perf_counter(), time.process_time()
        self._render(segments, engine)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        works = self._works(segments)
        return BatchResult(
            batch_size=len(segments),
            audio_seconds=sum(segment.input.frames for segment in segments) / self._codec.frame_rate,
            wall_seconds=wall,
            cpu_seconds=cpu,
            occupancy=engine.occupancy.share,
            stages={name: Stage(watch.seconds[name], watch.cpu_seconds[name], works[name]) for name in STAGES},
        )

    def _works(self, segments: list[RandomSegment]) -> dict[str, Work]:
        batch = [Span(len(each.rows), len(each.prompt), each.frames) for each, _ in segments]
        config, weights = self._model.config, self._precision.decoding
        cache = cache_dtype(self._device, weights)
        return {
            "prefill": prefill_work(config, batch, weights.itemsize, cache.itemsize),
            "decode": decode_work(config, batch, weights.itemsize, cache.itemsize),
            "complete": complete_work(config, batch, self._precision.arithmetic.itemsize),
            "codec": codec_work(self._codec, batch[0].frames, len(batch)),
        }

    def _engine(self, batch_size: int, watch: Stopwatch) -> Engine:
        return Engine(make_runner(self._model, batch_size, self._precision.decoding), watch)

    @torch.inference_mode()
    def _render(self, segments: list[RandomSegment], engine: Engine) -> None:
        """One batch, from MIDI rows to audio."""
        notes = dict(segments)
        generated = engine.generate(notes, Sampling())
        while some := list(islice(generated, self._codec.clips_at_once)):
            with engine.clock("codec"):
                list(decode_clips(self._codec, [codes for _, codes in some], [notes[segment] for segment, _ in some]))
