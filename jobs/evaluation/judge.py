"""The worker's side of an evaluation: it has every system make its audio of some subjects, and measures it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from jobs.evaluation.measures import Measures
from jobs.evaluation.part import Part
from jobs.evaluation.subjects import Subjects
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
from renderer.codecs.neural_codec import NeuralCodec
from renderer.device import choose_device
from renderer.evaluation.embedding import CodecEmbedding, Embedding
from renderer.evaluation.frechet import Gaussian
from renderer.evaluation.musicnn import Musicnn
from renderer.evaluation.transcriber import TRANSCRIBERS
from renderer.pianos.open_piano import PianoFiles
from renderer.renderer import Renderer
from renderer.segments import SegmentLimits
from renderer.weights.checkpoint import CodecDescription, ModelDescription, load_codec

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


class Judge:
    """Evaluates subjects by their indexes; loads models once."""

    def __init__(self, work: EvaluationWork) -> None:
        torch.set_num_threads(work.threads)
        self._work = work
        self._systems: list[System] = []
        embeddings: list[Embedding] = []
        if work.codec is not None:
            codec = self._codec_and_models(work, work.codec)
            self._systems.insert(0, CodecSystem(codec))
            embeddings.append(CodecEmbedding(codec))
        if work.run_name is not None:
            rate = RUN_FRAME_RATE if work.codec is None else work.codec.frame_rate
            limits = None
            if isinstance(work.codec, ModelDescription):
                limits = SegmentLimits(int(work.codec.max_segment_seconds * rate))
            self._systems.append(RunSystem(work.run_name, rate, limits))
        self._systems += [PianoSystem(name, files) for name, files in work.pianos.items()]
        self._systems.insert(0, RecordingSystem())
        if work.musicnn:
            embeddings.append(Musicnn())
        transcriber = TRANSCRIBERS[work.transcriber]() if work.transcriber else None
        self._measures = Measures(embeddings, transcriber, work.subjects.examples())

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
            rows += self._measures.rows(subject, made[subject.index])
            self._measures.embed(subject, made[subject.index], gaussians)
        return Part(rows, gaussians).to_bytes()

    def judge_numbered(self, number: int, indexes: Sequence[int]) -> tuple[int, bytes]:
        """The same, with a number that tells whose it is."""
        return number, self.judge(indexes)
