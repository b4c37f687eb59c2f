"""``midi-valle bench``: how fast segments become audio on this machine, stage by stage, beside what it could do."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from renderer.checkpoint import find_model, load_codec, load_model
from renderer.conditioning import segment_input
from renderer.device import choose_device, choose_dtype, device_name
from renderer.encodec_codec import EncodecCodec, EncodecConfig
from renderer.engine import Engine, SegmentInput
from renderer.model import MidiValle, ModelConfig
from renderer.neural_codec import NeuralCodec
from renderer.notes import Notes
from renderer.prompt import Prompt
from renderer.sampling import Sampling
from renderer.segments import Segment
from renderer.stopwatch import Stopwatch

SIZES = ("mini", "published")
NOTES_PER_SECOND = 10
PUBLISHED_SEGMENT_SECONDS = 15.0


@dataclass(frozen=True)
class BenchSettings:
    """One measurement; ``seconds`` is the length of every segment (None: the longest the model renders)."""

    size: str
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 16
    threads: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"--size is {self.size!r}; it must be one of {', '.join(SIZES)}")
        choose_device(self.device)
        choose_dtype(self.precision)


def measure(settings: BenchSettings) -> dict[str, object]:
    """Render one full batch of segments after a short warm-up; seconds by stage, rates, and the machine's peaks."""
    device, dtype = choose_device(settings.device), choose_dtype(settings.precision)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    model, codec, longest = _network(settings.size)
    model, codec = model.to(device, dtype), codec.for_inference().to(device, dtype)
    seconds = settings.seconds or longest
    segments = [_segment(index, seconds, model, codec.frame_rate) for index in range(settings.batch_size)]
    warm_up = [_segment(index, 0.2, model, codec.frame_rate) for index in range(settings.batch_size)]
    _run(model, codec, warm_up, device)
    begin = time.perf_counter()
    stages = _run(model, codec, segments, device)
    wall = time.perf_counter() - begin
    audio = sum(segment.frames for segment in segments) / codec.frame_rate
    return {
        "size": settings.size,
        "device": device_name(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "segment_seconds": seconds,
        "audio_seconds": round(audio, 2),
        "wall_seconds": round(wall, 3),
        "audio_seconds_per_second": round(audio / wall, 3),
        "stage_seconds_per_audio_second": {stage: round(s / audio, 5) for stage, s in stages.items()},
        "peak_gflops": {name: round(gemm_gflops(device, choose_dtype(name))) for name in ("fp32", "bf16")},
        "peak_read_gb_per_second": round(_read_gigabytes(device), 1),
    }


def report(result: dict[str, object]) -> None:
    """Print a measurement for people, then as one line of JSON for programs."""
    stages = result["stage_seconds_per_audio_second"]
    assert isinstance(stages, dict)
    print(
        f"{result['size']} model, {result['precision']}, batch {result['batch_size']}, "
        f"segments of {result['segment_seconds']} s, {result['threads']} threads on {result['device']}"
    )
    for stage, cost in stages.items():
        print(f"  {stage:<9} {cost * 1000:9.1f} ms per second of audio")
    print(f"  together  {result['audio_seconds_per_second']} seconds of audio per second")
    print(f"  peaks     {result['peak_gflops']} GFLOP/s, {result['peak_read_gb_per_second']} GB/s read")
    print(json.dumps(result))


def _network(size: str) -> tuple[MidiValle, NeuralCodec, float]:
    """Model, codec, and the longest segment in seconds."""
    if size == "mini":
        description = find_model("mini")
        return load_model(description), load_codec(description), description.max_segment_seconds
    torch.manual_seed(0)
    model = MidiValle(ModelConfig()).eval().requires_grad_(False)
    return model, EncodecCodec(EncodecConfig()), PUBLISHED_SEGMENT_SECONDS


def _segment(index: int, seconds: float, model: MidiValle, frame_rate: int) -> SegmentInput:
    """A segment of random notes after a prompt of random codes and notes, ten notes a second."""
    random = np.random.default_rng(index)
    frames = round(seconds * frame_rate)
    codes = random.integers(0, model.config.codebook_size, (3 * frame_rate, model.config.codebooks))
    prompt = Prompt("random", torch.from_numpy(codes), _notes(random, 3.0))
    segment = Segment(index, 0, 0, frames, frames, _notes(random, seconds))
    return segment_input(segment, prompt, index, model.config, frame_rate, "direct")


def _notes(random: np.random.Generator, seconds: float) -> Notes:
    count = max(1, round(seconds * NOTES_PER_SECOND))
    onset = random.uniform(0, seconds, count)
    pitch, velocity = random.integers(21, 109, count), random.integers(20, 110, count)
    return Notes.of(onset, np.minimum(onset + random.uniform(0.1, 2, count), seconds + 0.1), pitch, velocity)


def _run(model: MidiValle, codec: NeuralCodec, segments: list[SegmentInput], device: torch.device) -> dict[str, float]:
    """Seconds by stage for one batch, from MIDI rows to audio."""
    watch = Stopwatch(device)
    with torch.inference_mode():
        for _, codes in Engine(model, len(segments), watch).generate(segments, Sampling()):
            with watch("codec"):
                codec.decode(codes.T[None])
    return dict(watch.seconds)


def gemm_gflops(device: torch.device, dtype: torch.dtype, width: int = 2048) -> float:
    """The machine's peak: a square matrix product."""
    a, b = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    return 2 * width**3 / _fastest(device, lambda: a @ b) / 1e9


def _read_gigabytes(device: torch.device, megabytes: int = 512) -> float:
    """The machine's peak: summing a buffer larger than the caches."""
    buffer = torch.ones(megabytes * 2**18, device=device)
    return megabytes * 2**20 / _fastest(device, buffer.sum) / 1e9


def _fastest(device: torch.device, work: Callable[[], torch.Tensor], attempts: int = 6) -> float:
    """Seconds of the fastest of several attempts."""
    watch = Stopwatch(device)
    for attempt in range(attempts):
        with watch(str(attempt)):
            work()
    return min(watch.seconds.values())
