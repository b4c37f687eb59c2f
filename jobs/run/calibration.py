"""What ``--dry-run`` measures: rows evenly spread over the manifest, and a batch of excerpts of them, rendered."""

import io
import itertools
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch

from jobs.errors import JobError
from jobs.inputs.inputs import folder_of
from jobs.option import common_values
from jobs.run.preflight import Job
from jobs.shard.items import ItemReader, read_performance
from renderer.audio.audio_file import AudioFormat, resample, write_audio
from renderer.decoding.sampling import Sampling
from renderer.errors import RendererError
from renderer.midi.midi_file import midi_bytes
from renderer.midi.notes import Excerpt
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import render_all
from schemas.manifest import ManifestRow

SAMPLED_ROWS = 500
EXCERPT_SECONDS = 3.0


@dataclass(frozen=True)
class RowSample:
    """Rows evenly spread over the manifest, read: the good ones, their seconds of audio, failures."""

    readable: Sequence[ManifestRow]
    seconds: float
    failures: Sequence[str]
    rows: int


@dataclass(frozen=True)
class Calibration:
    """A full batch of short excerpts with one actor, measured.

    ``speed`` is in audio-seconds a second, over ``seconds`` of audio; ``audio_bytes`` are those of a second of audio,
    by format, ``midi_bytes`` and ``codes_bytes`` those of its notes and codes; ``memory`` is the most that this process
    has held, and on a GPU the most of the GPU's, in bytes.
    """

    speed: float
    seconds: float
    audio_bytes: Mapping[str, float]
    midi_bytes: float
    codes_bytes: float
    memory: int


def sample_rows(job: Job) -> RowSample:
    """Read up to ``SAMPLED_ROWS`` rows of the manifest and their MIDI files."""
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
    return RowSample(readable, seconds, failures, len(rows))


def calibrate(job: Job, rows: Sequence[ManifestRow]) -> Calibration | None:
    """Load the model and render a full batch of excerpts of the rows; None if none of them can be rendered."""
    settings = job.run.settings
    renderer = job.backend.load(settings.device)
    items = ItemReader(settings, job.run.manifest_path, job.run.prompts_path, job.inputs, renderer)
    excerpts = list(itertools.islice(_excerpts(items, rows), settings.batch_size))
    if not excerpts:
        return None
    batch = [
        replace(excerpt, item_id=str(index))
        for index, excerpt in enumerate(itertools.islice(itertools.cycle(excerpts), settings.batch_size))
    ]
    sampling = Sampling(**common_values(Sampling, settings))
    list(render_all(renderer, batch[:1], sampling))  # The first call is slower than all others.
    began = time.monotonic()
    renderings = list(render_all(renderer, batch, sampling))
    elapsed = time.monotonic() - began
    seconds = sum(len(rendering.samples) / rendering.sample_rate for rendering in renderings)
    return Calibration(
        seconds / elapsed,
        seconds,
        _audio_bytes(renderings[: len(excerpts)], settings.sample_rate),
        sum(len(midi_bytes(rendering.notes)) for rendering in renderings) / seconds,
        sum(rendering.codes.nbytes for rendering in renderings if rendering.codes is not None) / seconds,
        _memory(settings.device),
    )


def _excerpts(items: ItemReader, rows: Sequence[ManifestRow]) -> Iterator[RenderRequest]:
    for row in rows:
        try:
            request = items.request(row)
        except (RendererError, JobError):
            continue
        start = float(request.performance.notes.onset[0])
        excerpt = Excerpt(start, start + EXCERPT_SECONDS)
        yield replace(request, performance=request.performance.excerpt(excerpt))


def _audio_bytes(renderings: Sequence[Rendering], rate: int) -> dict[str, float]:
    """Bytes of a second of audio by format, of all in one file; without the formats that have no such rate."""
    samples = np.concatenate([resample(each.samples, each.sample_rate, rate) for each in renderings])
    found: dict[str, float] = {}
    for audio_format in get_args(AudioFormat):
        file = io.BytesIO()
        with suppress(ValueError):
            write_audio(file, samples, rate, audio_format)
            found[audio_format] = len(file.getvalue()) * rate / len(samples)
    return found


def _memory(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
