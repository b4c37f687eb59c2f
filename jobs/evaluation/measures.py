"""What is measured of the audio that systems made of a subject: one row for each, and frames for Frechet distances."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.evaluation.subjects import Subject
from jobs.evaluation.systems import GT, RC, Candidate
from renderer.audio.audio_file import FloatSamples, resample
from renderer.evaluation.chroma import chroma, chroma_distortion
from renderer.evaluation.embedding import Embedding
from renderer.evaluation.frechet import Gaussian
from renderer.evaluation.free_decay import free_decay
from renderer.evaluation.note_score import NoteScore
from renderer.evaluation.octave_levels import OctaveLevels
from renderer.evaluation.spectrogram import SAMPLE_RATE, midi_spectrogram, spectrogram_distortion
from renderer.evaluation.timbre import Recogniser, timbre
from renderer.evaluation.transcriber import Transcriber
from renderer.quality.joints import joint_prominence
from renderer.quality.noise_floor import noise_floor_step
from schemas.evaluation import NAMED, OCTAVE_MEASURES


class Measures:
    """All that is measured; ``examples`` are recordings by condition, of which sounds are named."""

    def __init__(
        self,
        embeddings: Sequence[Embedding],
        transcriber: Transcriber | None,
        examples: Iterable[tuple[str, FloatSamples, int]],
    ) -> None:
        self._embeddings, self._transcriber = embeddings, transcriber
        self._recognisers = _recognisers(examples)

    def rows(self, subject: Subject, candidates: Mapping[str, Candidate]) -> list[Mapping[str, Any]]:
        """A row for every system; what is not known or not defined is None."""
        audio = {
            system: _Measured.of(subject, candidate.samples)
            for system, candidate in candidates.items()
            if candidate.samples is not None and subject.recording is not None
        }
        joints = next((candidate.joints for candidate in candidates.values() if candidate.joints is not None), None)
        rows: list[Mapping[str, Any]] = []
        for system, candidate in candidates.items():
            row = _facts(subject, system, candidate)
            if candidate.samples is not None:
                row |= _beside(system, audio)
                row |= _decay(subject, candidate.samples)
                row |= self._notes(subject, candidate.samples)
                row |= self._named(subject, candidate.samples)
                row |= _joined(subject, candidate, joints)
            rows.append({key: _known(value) for key, value in row.items()})
        return rows

    def embed(
        self, subject: Subject, candidates: Mapping[str, Candidate], gaussians: dict[tuple[str, str], Gaussian]
    ) -> None:
        """Add every candidate's frames to the sums by system and embedding."""
        for system, candidate in candidates.items():
            for embedding in self._embeddings if candidate.samples is not None else ():
                stretch = _stretch(subject, candidate.samples)
                frames = embedding.frames(resample(stretch, subject.sample_rate, embedding.sample_rate))
                found, key = Gaussian.of(frames), (system, embedding.name)
                gaussians[key] = gaussians[key] + found if key in gaussians else found

    def _notes(self, subject: Subject, samples: FloatSamples) -> dict[str, float]:
        """Scores of the notes struck in the stretch that is measured."""
        if self._transcriber is None:
            return {}
        heard = self._transcriber.transcribe(samples, subject.sample_rate)
        played = subject.notes.selected(subject.notes.onset >= subject.start)
        return asdict(NoteScore.of(played, heard.selected(heard.onset >= subject.start)))

    def _named(self, subject: Subject, samples: FloatSamples) -> dict[str, float]:
        """Whether it is taken for the piano, the room and the condition of the recording, as far as each is known."""
        if not self._recognisers:
            return {}
        heard = timbre(_stretch(subject, samples), subject.sample_rate)
        labels = _labels(subject.condition)
        return {
            f"{kind}_recognised": float(recogniser.name(heard) == labels[kind])
            for kind, recogniser in self._recognisers.items()
            if labels[kind] in recogniser.names
        }


def _recognisers(examples: Iterable[tuple[str, FloatSamples, int]]) -> dict[str, Recogniser]:
    """What tells pianos, rooms and conditions apart; none where there are no two."""
    found = [(_labels(condition), timbre(samples, rate)) for condition, samples, rate in examples]
    labels = {kind: [names[kind] for names, _ in found] for kind in NAMED}
    timbres = [heard for _, heard in found]
    return {kind: Recogniser(timbres, labels[kind]) for kind in NAMED if len(set(labels[kind])) > 1}


def _labels(condition: str) -> dict[str, str]:
    piano, _, room = condition.partition("@")
    return dict(zip(NAMED, (piano, room, condition), strict=True))


def _facts(subject: Subject, system: str, candidate: Candidate) -> dict[str, Any]:
    return {
        "item_id": subject.item_id,
        "condition": subject.condition,
        "held_out": subject.held_out,
        "system": system,
        "seconds": subject.seconds - subject.start,
        "prompt_id": candidate.prompt_id,
        "error": candidate.error or subject.fault,
        "length_error_frames": candidate.length_error,
    }


def _joined(subject: Subject, candidate: Candidate, joints: NDArray[np.float64] | None) -> dict[str, float]:
    """Its own joints, and the noise floor where any system has joints: in a recording that is what music does."""
    found = {}
    if candidate.samples is not None and candidate.joints is not None and len(candidate.joints):
        found["joint_prominence"] = joint_prominence(
            candidate.samples, subject.sample_rate, subject.notes, candidate.joints
        )
    if candidate.samples is not None and joints is not None:
        inside = joints[joints > subject.start]
        found["noise_floor_step"] = noise_floor_step(candidate.samples, subject.sample_rate, inside)
    return found


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is compared with the same of a recording."""

    spectrogram: NDArray[np.float32]
    chroma: NDArray[np.float32]
    levels: OctaveLevels

    @classmethod
    def of(cls, subject: Subject, samples: FloatSamples) -> "_Measured":
        stretch = _stretch(subject, samples)
        audio = resample(stretch, subject.sample_rate, SAMPLE_RATE)
        return cls(midi_spectrogram(audio), chroma(audio), OctaveLevels.of(stretch, subject.sample_rate))

    def distances(self, reference: "_Measured", short: str) -> dict[str, float]:
        """To a reference, ``gt`` or ``rc``."""
        return {
            f"spectrogram_{short}": spectrogram_distortion(reference.spectrogram, self.spectrogram),
            f"chroma_{short}": chroma_distortion(reference.chroma, self.chroma),
        }

    def differences(self, recording: "_Measured") -> dict[str, float]:
        """Of levels, in dB."""
        found = self.levels.against(recording.levels)
        return {
            "level": found.level,
            **dict(zip(OCTAVE_MEASURES, found.octaves.tolist(), strict=True)),
            "above_4_khz": found.bright,
        }


def _decay(subject: Subject, samples: FloatSamples) -> dict[str, float]:
    """In seconds, and in per cent away from that of the recording, where both have one."""
    notes, rate = subject.notes.shifted(-subject.start), subject.sample_rate
    found = {"decay": free_decay(_stretch(subject, samples), rate, notes)}
    if subject.recording is not None:
        wanted = free_decay(_stretch(subject, subject.recording), rate, notes)
        found["decay_error"] = 100 * abs(found["decay"] / wanted - 1)
    return found


def _beside(system: str, audio: Mapping[str, _Measured]) -> dict[str, float]:
    """A system beside the recording and beside its reconstruction, as far as they are there."""
    found: dict[str, float] = {}
    if GT in audio:
        found |= audio[system].distances(audio[GT], "gt") | audio[system].differences(audio[GT])
    if RC in audio and system not in (GT, RC):
        found |= audio[system].distances(audio[RC], "rc")
    return found


def _stretch(subject: Subject, samples: FloatSamples | None) -> FloatSamples:
    assert samples is not None
    return samples[round(subject.start * subject.sample_rate) :]


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
