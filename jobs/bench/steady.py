"""The whole renderer at work: requests of uneven lengths come and go, as in a run, and the batch is always full."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from jobs.bench.network import open_network
from renderer.codecs.neural_codec import NeuralCodec
from renderer.device import choose_device, choose_precision, codec_dtype, compute_the_same_way, precision_named
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.model.midi_valle import MidiValle
from renderer.prompt import PROMPT_SECONDS, Prompt
from renderer.renderer import Renderer
from renderer.rendering import RenderRequest
from renderer.weights.checkpoint import ModelDescription

NOTES_PER_SECOND = 10
_SHORTEST = 0.2
"""Of the longest request."""

_HEAP_SECONDS, _FEWEST_HEAPS = 1e-3, 8
"""What a codec decodes at once comes out at once."""


@dataclass(frozen=True)
class SteadyResult:
    """``steady`` audio-seconds a second while half of all audio came out: neither at first nor at last; else None.

    It is None where too few came out for that.

    ``occupancy`` is of all, ``peak_bytes`` of the device's memory, 0 on a CPU.
    """

    requests: int
    audio_seconds: float
    wall_seconds: float
    steady: float | None
    occupancy: float
    peak_bytes: int


def renderer_of(
    model: MidiValle,
    codec: NeuralCodec,
    longest: float,
    device: str,
    precision: str,
    batch_size: int,
    overlap: bool = False,
) -> Renderer:
    """A renderer of networks that need not come from a folder; segments are at most ``longest`` seconds."""
    place = choose_device(device)
    compute_the_same_way(place)
    dtype, decoding = precision_named(choose_precision(precision, place.type))
    description = ModelDescription(
        name="random",
        folder=Path(),
        sample_rate=codec.sample_rate,
        frame_rate=codec.frame_rate,
        codec=codec.config,  # type: ignore[arg-type]
        max_segment_seconds=longest,
        pedal="extend",
        time_grid="direct",
        licence="none",
        model=model.config,
    )
    network = model.to(place, dtype)
    sounding = codec.for_inference().to(place, codec_dtype(place, dtype))
    return Renderer(description, network, sounding, batch_size, decoding, overlap)


def renderer_of_size(size: str, device: str, precision: str, batch_size: int) -> Renderer:
    """A renderer of ``mini``, or of the published size with random weights."""
    model, codec, longest = open_network(size)
    return renderer_of(model, codec, longest, device, precision, batch_size)


def measure_steady(renderer: Renderer, waves: int, longest: float) -> SteadyResult:
    """Render ``waves`` times as many requests as there are slots, each of any length up to ``longest`` seconds."""
    requests = [random_request(number, longest, renderer) for number in range(waves * renderer.batch_size)]
    on_cuda = next(iter(renderer.codec.parameters())).is_cuda if isinstance(renderer.codec, NeuralCodec) else False
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    times, audio = [], []
    for rendering in renderer.render(requests):
        times.append(time.perf_counter() - begin)
        audio.append(rendering.duration)
    return SteadyResult(
        requests=len(requests),
        audio_seconds=sum(audio),
        wall_seconds=times[-1],
        steady=middle_rate(times, audio),
        occupancy=renderer.occupancy.share,
        peak_bytes=torch.cuda.max_memory_allocated() if on_cuda else 0,
    )


def middle_rate(times: Sequence[float], amounts: Sequence[float]) -> float | None:
    """How much a second came between a quarter and three quarters of all; None if all came in few heaps."""
    heaps = np.flatnonzero(np.diff(times, append=np.inf) > _HEAP_SECONDS)
    if len(heaps) < _FEWEST_HEAPS:
        return None
    when, done = np.asarray(times)[heaps], np.cumsum(amounts)[heaps]
    first, last = np.searchsorted(done, (0.25 * done[-1], 0.75 * done[-1]))
    return float((done[last] - done[first]) / (when[last] - when[first]))


def random_request(number: int, longest: float, renderer: Renderer) -> RenderRequest:
    """Random notes over a fifth of ``longest`` seconds to all of them, tail included, after a random prompt."""
    random = np.random.default_rng(number)
    tail = 0.1 * longest
    seconds = float(random.uniform(_SHORTEST, 1.0)) * longest - tail
    codec = renderer.codec
    shape = (round(PROMPT_SECONDS * codec.frame_rate), codec.codebooks)
    codes = torch.from_numpy(random.integers(0, codec.codebook_size, shape))
    prompt = Prompt("random", codes, _notes(random, PROMPT_SECONDS))
    return RenderRequest(
        str(number), Performance(_notes(random, seconds), NoteReport()), prompt, seed=number, tail=tail
    )


def _notes(random: np.random.Generator, seconds: float) -> Notes:
    count = max(1, round(seconds * NOTES_PER_SECOND))
    onset = np.sort(random.uniform(0, 0.9 * seconds, count))
    offset = np.minimum(onset + random.uniform(0.05, 2, count), seconds)
    offset[-1] = seconds
    return Notes.of(onset, offset, random.integers(21, 109, count), random.integers(20, 110, count))
