"""What is compared: the recording itself, the codec, a model, a soundfont, a finished run."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from jobs.evaluation.subjects import Subject, Subjects
from renderer.audio.audio_file import FloatSamples, resample
from renderer.audio.loudness import root_mean_square
from renderer.codecs.codec import Codec
from renderer.errors import PromptError
from renderer.midi.notes import FloatArray, NoteReport, Performance
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE
from renderer.prompt import PROMPT_SECONDS, Prompt, prompt_from_audio
from renderer.quality.joints import joints_of
from renderer.renderer import Renderer
from renderer.rendering import RenderRequest
from renderer.segments import SegmentLimits

GT, RC = "recording", "codec"
"""The recording (ground truth), and the recording through the codec: what all others are compared with."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """What a system made of a subject: audio at the subject's rate and, if it was joined, where; or why nothing."""

    samples: FloatSamples | None
    joints: FloatArray | None = None
    length_error: float | None = None
    prompt_id: str | None = None
    error: str | None = None


class System(Protocol):
    """Something that plays notes."""

    name: str

    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """A candidate for every subject, in their order."""
        ...


class RecordingSystem:
    """The recording itself: what a perfect system would give, and what the transcriber makes of it."""

    name = GT

    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """See ``System``."""
        return [Candidate(subject.recording) for subject in subjects]


class CodecSystem:
    """The recording, encoded and decoded: the best that a model of these codes can give.

    As when rendering, a note-conditioned decoder is given the notes.
    """

    name = RC

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    @torch.inference_mode()
    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """See ``System``."""
        return [Candidate(self._decoded(subject)) for subject in subjects]

    def _decoded(self, subject: Subject) -> FloatSamples:
        assert subject.recording is not None
        there = resample(subject.recording, subject.sample_rate, self._codec.sample_rate)
        codes = self._codec.encode(torch.from_numpy(np.ascontiguousarray(there))[None])
        decoded = self._codec.decode(codes, notes=[subject.notes])[0].float().cpu().numpy()[: len(there)]
        return resample(decoded, self._codec.sample_rate, subject.sample_rate)[: len(subject.recording)]


class ModelSystem:
    """A model that renders each subject whole, by the renderer's own rules, with a prompt chosen by ``protocol``.

    ``self``: the subject's own first 3 s; ``cross``: another piece in the same condition, as when rendering.
    """

    def __init__(self, renderer: Renderer, subjects: Subjects, protocol: str, seed: int) -> None:
        self.name = f"{renderer.description.name}, {protocol}-prompt"
        self._renderer, self._subjects, self._protocol, self._seed = renderer, subjects, protocol, seed

    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """See ``System``. All are rendered side by side, as far as the batch allows."""
        candidates = [Candidate(None, error="no clip of its condition can be its prompt")] * len(subjects)
        requests, tail = [], 0.0
        for place, subject in enumerate(subjects):
            prompt = self._prompt(subject)
            if prompt is not None:
                tail = max(tail, subject.seconds - subject.notes.end)
                performance = Performance(subject.notes, NoteReport())
                requests.append(RenderRequest(str(place), performance, prompt, self._seed_of(subject)))
        codec = self._renderer.codec
        for rendering in self._renderer.render(requests, tail=tail):
            subject = subjects[int(rendering.item_id)]
            expected = round((subject.notes.end + tail) * rendering.sample_rate)
            error = abs(len(rendering.samples) - expected) / rendering.sample_rate * codec.frame_rate
            joints = joints_of(subject.notes, rendering.duration, codec.frame_rate, self._renderer.limits)
            samples = resample(rendering.samples, rendering.sample_rate, subject.sample_rate)
            samples = samples[: round(subject.seconds * subject.sample_rate)]
            candidates[int(rendering.item_id)] = Candidate(samples, joints, error, rendering.prompt_id)
        return candidates

    @torch.inference_mode()
    def _prompt(self, subject: Subject) -> Prompt | None:
        for source in self._subjects.prompts(subject.index, self._protocol):
            samples = resample(source.samples, source.sample_rate, self._renderer.sample_rate)
            wanted = round(PROMPT_SECONDS * self._renderer.sample_rate)
            samples = np.pad(samples, (0, max(0, wanted - len(samples))))  # The filter's rounding.
            try:
                return prompt_from_audio(source.prompt_id, samples, source.notes, self._renderer.codec)
            except PromptError:
                continue
        return None

    def _seed_of(self, subject: Subject) -> int:
        digest = hashlib.blake2b(f"{self._seed}/{subject.item_id}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "little")


class PianoSystem:
    """A sampled piano or a soundfont, as loud as the recording: its own level would count in distances."""

    def __init__(self, name: str, files: PianoFiles) -> None:
        self.name = name
        self._piano = files.open()

    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """See ``System``."""
        return [Candidate(self._played(subject)) for subject in subjects]

    def _played(self, subject: Subject) -> FloatSamples:
        dry = self._piano.play(subject.notes, round(subject.seconds * SAMPLE_RATE))
        samples = resample(dry, SAMPLE_RATE, subject.sample_rate)
        level = root_mean_square(samples)
        if subject.recording is None or not level:
            return samples
        wanted = root_mean_square(subject.recording)
        return samples * np.float32(wanted / level)


class RunSystem:
    """What a finished run rendered; ``limits`` are those of its model, if that is known."""

    def __init__(self, name: str, frame_rate: int, limits: SegmentLimits | None) -> None:
        self.name = name
        self._frame_rate, self._limits = frame_rate, limits

    def render(self, subjects: Sequence[Subject]) -> list[Candidate]:
        """See ``System``."""
        return [self._rendered(subject) for subject in subjects]

    def _rendered(self, subject: Subject) -> Candidate:
        assert subject.rendered is not None
        expected = round(subject.seconds * subject.sample_rate)
        error = abs(len(subject.rendered) - expected) / subject.sample_rate * self._frame_rate
        joints = None
        if self._limits is not None:
            joints = joints_of(subject.notes, subject.seconds, self._frame_rate, self._limits)
        return Candidate(subject.rendered, joints, error, subject.prompt_id)
