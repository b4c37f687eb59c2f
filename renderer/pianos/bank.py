"""A piano's recordings, decoded and at the pitch of every key, in one file that processes share by memory map."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples, read_audio
from renderer.midi.notes import FloatArray, IntArray
from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.samples import DYNAMICS_POINTS, Sample

LEAD_SECONDS = 0.003
"""What is kept of a recording before its attack."""

LONGEST_SECONDS = 10.0
FADE_SECONDS = 0.2
_INAUDIBLE = 1e-4  # Of a recording's peak.
_RECORDED_RATE = 48_000
_FORMAT = 3


@dataclass(frozen=True, eq=False)
class Bank:
    """Sounds (S,): for which key and velocities each is, and where in ``audio`` (int16) it lies.

    ``scale`` brings it to its level; ``loudness`` is the power of its first half second at that level, in dB.
    ``dynamics`` (S, D) is what is added to that from the softest to the loudest of its velocities, in dB, and
    ``release`` is how many seconds after its key's release it is silent: NaN where nothing is said.
    """

    audio: NDArray[np.int16]
    key: IntArray
    softest: IntArray
    loudest: IntArray
    is_release: IntArray
    start: IntArray
    length: IntArray
    scale: FloatArray
    loudness: FloatArray
    dynamics: FloatArray
    release: FloatArray


def open_bank(samples: Sequence[Sample], folder: Path) -> Bank:
    """The bank of these recordings in ``folder``; made there if need be, which takes a minute, by one process."""
    path = folder / _name(samples)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_dir():
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
            try:
                _build(samples, partial)
                partial.rename(path)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    with np.load(path / "index.npz") as index:
        return Bank(np.memmap(path / "audio.int16", np.int16, "r"), **index)


def samples_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over the recordings and what each is for."""
    digest = hashlib.sha256(f"{_FORMAT}".encode())
    for sample in samples:
        with sample.path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        use = (sample.key, sample.lowest_key, sample.highest_key, sample.softest, sample.loudest)
        said = (sample.decibels, sample.dynamics, sample.offset, sample.release_seconds)
        digest.update(repr((*use, sample.is_release, *said)).encode())
    return digest.hexdigest()


def _name(samples: Sequence[Sample]) -> str:
    """A bank's name, by its recordings as they lie on the disk: their contents are too long to be read each time."""
    found = [(sample, (status := sample.path.stat()).st_size, status.st_mtime_ns) for sample in samples]
    return hashlib.sha256(repr((_FORMAT, found)).encode()).hexdigest()[:32]


def _build(samples: Sequence[Sample], folder: Path) -> None:
    rows: list[tuple[float, ...]] = []
    dynamics: list[tuple[float, ...]] = []
    with (folder / "audio.int16").open("wb") as file:
        start = 0
        for sample in samples:
            for key, sound, loudness in _sounds(sample):
                peak = float(np.abs(sound).max()) or 1.0
                file.write(np.rint(sound * (32767 / peak)).astype(np.int16).tobytes())
                scale = 10 ** (sample.decibels / 20) * peak / 32767
                use = (key, sample.softest, sample.loudest, sample.is_release)
                release = np.nan if sample.release_seconds is None else sample.release_seconds
                rows.append((*use, start, len(sound), scale, loudness + sample.decibels, release))
                dynamics.append(sample.dynamics or (np.nan,) * DYNAMICS_POINTS)
                start += len(sound)
        file.flush()
        os.fsync(file.fileno())
    columns = np.array(rows, np.float64).T
    names = ("key", "softest", "loudest", "is_release", "start", "length")
    integers = {name: column.astype(np.int64) for name, column in zip(names, columns, strict=False)}
    said = dict(zip(("scale", "loudness", "release"), columns[6:], strict=True))
    np.savez(folder / "index.npz", **integers, **said, dynamics=np.array(dynamics, np.float64))


def _sounds(sample: Sample) -> Iterator[tuple[int, FloatSamples, float]]:
    """The recording at the pitch of each key that it serves, with the key and its loudness."""
    import soxr

    recorded = read_audio(sample.path, _RECORDED_RATE, _offset_seconds(sample))
    attack = 0 if sample.is_release else _attack(recorded)
    loudness = 10 * np.log10(np.mean(recorded[attack:][: _RECORDED_RATE // 2] ** 2) + 1e-12)
    for key in range(sample.lowest_key, sample.highest_key + 1):
        ratio = 1.0 if sample.is_release else 2 ** ((key - sample.key) / 12)
        part = recorded[max(0, attack - int(LEAD_SECONDS * ratio * _RECORDED_RATE)) :]
        part = part[: int(LONGEST_SECONDS * ratio * _RECORDED_RATE)]
        sound = soxr.resample(part, _RECORDED_RATE * ratio, SAMPLE_RATE, quality="HQ").astype(np.float32)
        audible = np.flatnonzero(np.abs(sound) > _INAUDIBLE * np.abs(sound).max(initial=0.0))
        sound = sound[: int(audible[-1]) + 1 if audible.size else 1]
        yield key, _faded(sound), float(loudness)


def _offset_seconds(sample: Sample) -> float:
    import soundfile

    return sample.offset / soundfile.info(str(sample.path)).samplerate if sample.offset else 0.0


def _attack(recorded: FloatSamples) -> int:
    """Where a recording reaches a tenth of its attack's peak."""
    step = _RECORDED_RATE // 2000
    head = np.abs(recorded[: _RECORDED_RATE // 4])
    envelope = np.maximum.reduceat(head, np.arange(0, len(head), step))
    return int(np.argmax(envelope > 0.1 * envelope.max())) * step


def _faded(sound: FloatSamples) -> FloatSamples:
    rise, fall = min(len(sound), SAMPLE_RATE // 1000), min(len(sound) // 2, int(FADE_SECONDS * SAMPLE_RATE))
    sound[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[len(sound) - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return sound
