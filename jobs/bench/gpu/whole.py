"""The tests that need a GPU, and the renderer at work."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from jobs.bench.gpu.bed import Bed
from jobs.bench.gpu.figures import Figure
from jobs.bench.steady import SteadyResult, measure_steady, random_request, renderer_of, renderer_of_size
from renderer.codecs.encodec_codec import EncodecCodec
from renderer.model.midi_valle import MidiValle
from renderer.renderer import Renderer

PREDICTED = {1: 45.0, 16: 330.0, 64: 650.0, 128: 770.0, 256: 870.0}
"""Audio-seconds a second of the published size on an H100, by slots, one stage after another."""

PREDICTED_OVERLAP, PREDICTED_MINI = 1000.0, 2500.0
TESTS = Path("tests/renderer/decoding/test_cuda.py")
_TEST_SECONDS = 150


def cuda_tests(bed: Bed) -> Iterator[Figure]:
    """Those marked ``cuda``; what they say goes to a file."""
    command = [sys.executable, "-m", "pytest", str(TESTS), "-v", "-p", "no:cacheprovider", "--tb=short", "-rA"]
    begin = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_TEST_SECONDS, check=False)
    (bed.figures.folder / "tests.txt").write_text(ran.stdout + ran.stderr)
    last = ran.stdout.strip().splitlines()[-1:] or ["said nothing"]
    yield Figure("tests", time.perf_counter() - begin, "s", 60, f"exit code {ran.returncode}: {last[0]}; tests.txt")


def steady(bed: Bed) -> Iterator[Figure]:
    """The size that is put to the test, at several numbers of slots; first the most, without overlap and with it."""
    most, least = bed.sizes.batches[-1], bed.sizes.batches[0]
    is_published = bed.sizes.model.d_model == 1024
    for slots, overlap in ((most, False), (most, True), *((each, False) for each in bed.sizes.batches[-2::-1])):
        torch.manual_seed(0)
        model = MidiValle(bed.sizes.model).eval().requires_grad_(False)
        codec = EncodecCodec(bed.sizes.codec)
        longest = max(3.0, bed.sizes.seconds)
        renderer = renderer_of(model, codec, longest, bed.device.type, bed.precision, slots, overlap)
        result = measure_steady(renderer, bed.sizes.waves if slots > 16 else 2, bed.sizes.seconds)
        predicted = PREDICTED_OVERLAP if overlap else PREDICTED.get(slots)
        name = f"steady, {slots} slots" + (", overlap" if overlap else "")
        yield _steady(name, result, predicted if is_published else None)
        if slots == least:
            yield _first_audio(renderer, 10.0 if is_published else bed.sizes.seconds, is_published)
        del renderer, model, codec
        if bed.device.type == "cuda":
            torch.cuda.empty_cache()


def _first_audio(renderer: Renderer, seconds: float, is_published: bool) -> Figure:
    request = random_request(0, seconds, renderer)
    begin = time.perf_counter()
    (rendering,) = renderer.render([request])
    took = time.perf_counter() - begin
    return Figure("first audio", took, "s", 1.2 if is_published else None, f"of {rendering.duration:.1f} s, alone")


def mini(bed: Bed) -> Iterator[Figure]:
    """The bundled model."""
    slots = bed.sizes.batches[-1]
    renderer = renderer_of_size("mini", bed.device.type, bed.precision, slots)
    longest = min(bed.sizes.seconds, renderer.description.max_segment_seconds)
    predicted = PREDICTED_MINI if bed.device.type == "cuda" else None
    yield _steady(f"steady, mini, {slots} slots", measure_steady(renderer, bed.sizes.waves, longest), predicted)


def _steady(name: str, result: SteadyResult, predicted: float | None) -> Figure:
    note = (
        f"{result.requests} requests, {result.audio_seconds:.0f} audio-s in {result.wall_seconds:.1f} s all together, "
        f"occupancy {result.occupancy:.1%}, at most {result.peak_bytes / 2**30:.1f} GiB"
    )
    overall = result.audio_seconds / result.wall_seconds
    return Figure(name, overall if result.steady is None else result.steady, "audio-s/s", predicted, note)
