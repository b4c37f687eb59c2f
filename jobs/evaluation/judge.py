"""The worker's side of an evaluation: it has every system make its audio of some subjects, and measures it."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch

from jobs.evaluation.subjects import Subject, Subjects
from jobs.evaluation.systems import (
    GT,
    RC,
    Candidate,
    CodecSystem,
    ModelSystem,
    PianoSystem,
    RecordingSystem,
    RunSystem,
    System,
)
from renderer.audio.audio_file import FloatSamples, resample
from renderer.codecs.neural_codec import NeuralCodec
from renderer.device import choose_device
from renderer.evaluation.chroma import chroma, chroma_distortion
from renderer.evaluation.embedding import CodecEmbedding, Embedding
from renderer.evaluation.frechet import Gaussian
from renderer.evaluation.musicnn import Musicnn
from renderer.evaluation.note_score import NoteScore
from renderer.evaluation.spectrogram import SAMPLE_RATE, midi_spectrogram, spectrogram_distortion
from renderer.evaluation.timbre import Recogniser, timbre
from renderer.evaluation.transcriber import TRANSCRIBERS
from renderer.pianos.open_piano import PianoFiles
from renderer.quality.joints import joint_prominence
from renderer.renderer import Renderer
from renderer.segments import SegmentLimits
from renderer.weights.checkpoint import CodecDescription, ModelDescription, load_codec

_COUNT, _MEAN, _SCATTER, _ROWS = "count", "mean", "scatter", "rows"
RUN_FRAME_RATE = 50
"""Length errors of a run whose model is not known are counted in frames of so many a second."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationWork:
    """All that a worker needs.

    ``codec`` gives the reference RC; where it is a model's and ``protocols`` are given, that model is prompted so.
    """

    subjects: Subjects
    codec: CodecDescription | None = None
    protocols: Sequence[str] = ()
    run_name: str | None = None
    pianos: Mapping[str, PianoFiles] = field(default_factory=dict)
    transcriber: str | None = None
    musicnn: bool = False
    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int = 16
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Part:
    """What some subjects gave: rows, and sums for Frechet distances, by system and embedding."""

    rows: Sequence[Mapping[str, Any]]
    gaussians: Mapping[tuple[str, str], Gaussian] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As a NumPy archive."""
        arrays: dict[str, Any] = {_ROWS: np.array(json.dumps(self.rows))}
        for (system, embedding), gaussian in self.gaussians.items():
            name = json.dumps([system, embedding])
            arrays |= {
                f"{_COUNT}{name}": np.array(gaussian.count),
                f"{_MEAN}{name}": gaussian.mean,
                f"{_SCATTER}{name}": gaussian.scatter,
            }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Part":
        """What :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = [key.removeprefix(_COUNT) for key in arrays.files if key.startswith(_COUNT)]
            gaussians = {}
            for name in names:
                gaussian = Gaussian(int(arrays[_COUNT + name]), arrays[_MEAN + name], arrays[_SCATTER + name])
                gaussians[cast(tuple[str, str], tuple(json.loads(name)))] = gaussian
            return cls(json.loads(str(arrays[_ROWS])), gaussians)


class Judge:
    """Evaluates subjects by their indexes; loads models once."""

    def __init__(self, work: EvaluationWork) -> None:
        torch.set_num_threads(work.threads)
        self._work = work
        self._systems: list[System] = []
        self._embeddings: list[Embedding] = []
        if work.codec is not None:
            codec = self._codec_and_models(work, work.codec)
            self._systems.insert(0, CodecSystem(codec))
            self._embeddings.append(CodecEmbedding(codec))
        if work.run_name is not None:
            rate = RUN_FRAME_RATE if work.codec is None else work.codec.frame_rate
            limits = None
            if isinstance(work.codec, ModelDescription):
                limits = SegmentLimits(int(work.codec.max_segment_seconds * rate))
            self._systems.append(RunSystem(work.run_name, rate, limits))
        self._systems += [PianoSystem(name, files) for name, files in work.pianos.items()]
        self._systems.insert(0, RecordingSystem())
        if work.musicnn:
            self._embeddings.append(Musicnn())
        self._transcriber = TRANSCRIBERS[work.transcriber]() if work.transcriber else None
        self._recogniser = _recogniser(work.subjects)

    def _codec_and_models(self, work: EvaluationWork, description: CodecDescription) -> NeuralCodec:
        """The codec; a model that is prompted becomes systems, and its codec is the same."""
        if not work.protocols or not isinstance(description, ModelDescription):
            return load_codec(description).for_inference().to(choose_device(work.device))
        renderer = Renderer.load(description, device=work.device, precision=work.precision, batch_size=work.batch_size)
        self._systems += [ModelSystem(renderer, work.subjects, protocol, work.seed) for protocol in work.protocols]
        return cast(NeuralCodec, renderer.codec)

    def judge(self, indexes: Sequence[int]) -> bytes:
        """Evaluate some subjects together; a ``Part`` as bytes."""
        subjects = [self._work.subjects.read(index) for index in indexes]
        recorded = [subject for subject in subjects if subject.recording is not None]
        made = {subject.index: dict[str, Candidate]() for subject in subjects}
        for system in self._systems:
            wanted = recorded if system.name in (GT, RC) else subjects
            for subject, candidate in zip(wanted, system.render(wanted) if wanted else [], strict=True):
                made[subject.index][system.name] = candidate
        rows: list[Mapping[str, Any]] = []
        gaussians: dict[tuple[str, str], Gaussian] = {}
        for subject in subjects:
            rows += self._rows(subject, made[subject.index], gaussians)
        return Part(rows, gaussians).to_bytes()

    def judge_numbered(self, number: int, indexes: Sequence[int]) -> tuple[int, bytes]:
        """The same, with a number that tells whose it is."""
        return number, self.judge(indexes)

    def _rows(
        self, subject: Subject, candidates: Mapping[str, Candidate], gaussians: dict[tuple[str, str], Gaussian]
    ) -> list[Mapping[str, Any]]:
        measured = {
            system: _Measured.of(_stretch(subject, candidate.samples), subject.sample_rate)
            for system, candidate in candidates.items()
            if subject.recording is not None and candidate.samples is not None
        }
        references = {short: measured[name] for short, name in (("gt", GT), ("rc", RC)) if name in measured}
        rows: list[Mapping[str, Any]] = []
        for system, candidate in candidates.items():
            row: dict[str, Any] = {
                "item_id": subject.item_id,
                "condition": subject.condition,
                "system": system,
                "seconds": subject.seconds - subject.start,
                "prompt_id": candidate.prompt_id,
                "error": candidate.error or subject.fault,
            }
            if candidate.samples is not None:
                stretch = _stretch(subject, candidate.samples)
                if references:
                    compared = {"gt": references["gt"]} if system in (GT, RC) else references
                    row |= _distances(compared, measured[system])
                row |= self._notes(subject, candidate.samples)
                if self._recogniser is not None:
                    named = self._recogniser.name(timbre(stretch, subject.sample_rate))
                    row["piano_recognised"] = float(named == subject.piano)
                if candidate.joints is not None and len(candidate.joints):
                    row["joint_prominence"] = joint_prominence(
                        candidate.samples, subject.sample_rate, subject.notes, candidate.joints
                    )
                row["length_error_frames"] = candidate.length_error
                for embedding in self._embeddings:
                    frames = embedding.frames(resample(stretch, subject.sample_rate, embedding.sample_rate))
                    found, key = Gaussian.of(frames), (system, embedding.name)
                    gaussians[key] = gaussians[key] + found if key in gaussians else found
            rows.append({key: _known(value) for key, value in row.items()})
        return rows

    def _notes(self, subject: Subject, samples: FloatSamples) -> dict[str, float]:
        """Scores of the notes struck in the stretch that is measured."""
        if self._transcriber is None:
            return {}
        heard = self._transcriber.transcribe(samples, subject.sample_rate)
        played = subject.notes.selected(subject.notes.onset >= subject.start)
        return asdict(NoteScore.of(played, heard.selected(heard.onset >= subject.start)))


def _recogniser(subjects: Subjects) -> Recogniser | None:
    """What tells the pianos of a corpus apart; None where there are no two."""
    examples = [(piano, timbre(samples, rate)) for piano, samples, rate in subjects.examples()]
    pianos, timbres = [piano for piano, _ in examples], [of_clip for _, of_clip in examples]
    return Recogniser(timbres, pianos) if len(set(pianos)) > 1 else None


@dataclass(frozen=True, eq=False)
class _Measured:
    spectrogram: Any
    chroma: Any

    @classmethod
    def of(cls, samples: FloatSamples, sample_rate: int) -> "_Measured":
        audio = resample(samples, sample_rate, SAMPLE_RATE)
        return cls(midi_spectrogram(audio), chroma(audio))


def _distances(references: Mapping[str, _Measured], candidate: _Measured) -> dict[str, float]:
    distances = {}
    for short, reference in references.items():
        distances[f"spectrogram_{short}"] = spectrogram_distortion(reference.spectrogram, candidate.spectrogram)
        distances[f"chroma_{short}"] = chroma_distortion(reference.chroma, candidate.chroma)
    return distances


def _stretch(subject: Subject, samples: FloatSamples | None) -> FloatSamples:
    assert samples is not None
    return samples[round(subject.start * subject.sample_rate) :]


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
