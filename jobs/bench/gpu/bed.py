"""What is put to the test, and how it is timed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from jobs.bench.gpu.figures import Figures
from jobs.bench.network import random_segment
from jobs.bench.work import Work
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.device import codec_dtype, compute_the_same_way, synchronize
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.varlen import ONE_BY_ONE, VarlenKernel, choose_varlen

FRAME_RATE = 50


@dataclass(frozen=True)
class BedSizes:
    """How large all is: ``batches`` are those of decoding, ``seconds`` a segment's, ``repeats`` of every timing.

    ``waves`` times the batch is rendered in a steady state.
    """

    model: ModelConfig
    codec: EncodecConfig
    packed: PackedSizes
    batches: tuple[int, ...]
    seconds: float
    codec_clips: int
    repeats: int
    waves: int


FULL = BedSizes(ModelConfig(), EncodecConfig(), PackedSizes(), (1, 16, 64, 128, 256), 15.0, 64, 10, 6)
TINY = BedSizes(
    ModelConfig(d_model=64, heads=2, layers=2, codebook_size=64),
    EncodecConfig(n_filters=4, dimension=16, codebook_size=64),
    PackedSizes(step=4, prefill=512, complete=1024, positions=256, frames=32, steps=4, refill=2, completes=3),
    (2, 4),
    0.4,
    3,
    2,
    2,
)
SIZES = {"full": FULL, "tiny": TINY}

NOMINAL_FLOPS, NOMINAL_BYTES = 798e12, 3.0e12
"""Of an H100, measured: for predictions where the peaks were not."""


class Bed:
    """A model and a codec with random weights on a device, in bf16 on CUDA and fp32 elsewhere."""

    def __init__(self, sizes: BedSizes, device: torch.device, figures: Figures) -> None:
        self.sizes, self.device, self.figures = sizes, device, figures
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        compute_the_same_way(device)

    @property
    def precision(self) -> str:
        """As the renderer calls it."""
        return "bf16" if self.device.type == "cuda" else "fp32"

    @cached_property
    def model(self) -> MidiValle:
        """In the arithmetic of rendering."""
        torch.manual_seed(0)
        return MidiValle(self.sizes.model).eval().requires_grad_(False).to(self.device, self.dtype)

    @cached_property
    def codec(self) -> EncodecCodec:
        """In the arithmetic of rendering."""
        torch.manual_seed(0)
        codec = EncodecCodec(self.sizes.codec).for_inference()
        return codec.to(self.device, codec_dtype(self.device, self.dtype))

    @cached_property
    def kernel(self) -> VarlenKernel:
        """What attends within sequences."""
        config = self.sizes.model
        return choose_varlen(self.device, self.dtype, config.d_model // config.heads) or ONE_BY_ONE

    def runner(self, slots: int) -> PackedRunner:
        """With empty slots."""
        return PackedRunner(self.model, slots, self.kernel, sizes=self.sizes.packed)

    def segments(self, count: int) -> list[ModelInput]:
        """Of random notes, all equally long."""
        return [random_segment(index, self.sizes.seconds, self.model, FRAME_RATE).input for index in range(count)]

    def least_seconds(self, work: Work) -> float:
        """What this device needs at least, by the peaks that were measured."""
        flops = (self.figures.value("peak product") or NOMINAL_FLOPS / 1e12) * 1e12
        read = (self.figures.value("peak read") or NOMINAL_BYTES / 1e9) * 1e9
        return work.least_seconds(flops, read)

    def timed(self, work: Callable[[], object], repeats: int | None = None) -> float:
        """Seconds of a call: the median, after one to warm up."""
        work()
        times = []
        for _ in range(repeats or self.sizes.repeats):
            if self.device.type == "cuda":
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                work()
                end.record()
                end.synchronize()
                times.append(start.elapsed_time(end) / 1000)
            else:
                begin = time.perf_counter()
                work()
                synchronize(self.device)
                times.append(time.perf_counter() - begin)
        return statistics.median(times)
