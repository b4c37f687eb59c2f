"""What can be wrong with a rendering, measured, and whether it is bad enough to render it again."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.audio.loudness import largest, root_mean_square
from renderer.midi.notes import FloatArray, Notes
from renderer.quality.joints import joint_prominence
from renderer.quality.note_match import match_notes

_FRAME_SECONDS = 0.02
_STRUCK_SECONDS = 1.0
_SILENT_BELOW_ITEM_DB = 50.0
_SILENT_DBFS = -70.0
_NO_JOINTS: FloatArray = np.empty(0)


@dataclass(frozen=True)
class Quality:
    """Measures of one rendering, or of a stretch of one; what is not defined is NaN.

    ``length_error`` in samples. ``peak`` the largest absolute sample, ``clipped`` the share of samples beyond full
    scale, ``rms_dbfs`` the level (-inf for silence). ``silence``: the longest time in seconds for which nothing
    sounds though a note has been struck less than a second before and is held. ``joint_prominence``: see
    renderer/quality/joints.py. ``notes_found`` and ``attacks_explained``: see renderer/quality/note_match.py.
    ``codes_match``: see renderer/quality/codes_probe.py; what has no codes, or a model without a probe, has none.
    """

    length_error: int
    peak: float
    clipped: float
    rms_dbfs: float
    silence: float
    joint_prominence: float
    notes_found: float
    attacks_explained: float
    codes_match: float = float("nan")

    @property
    def score(self) -> float:
        """How well the notes are played, 0 to 1: of several renderings of the same notes, keep the highest."""
        known = [value for value in (self.notes_found, self.attacks_explained) if np.isfinite(value)]
        if not known:
            return 1.0
        return 0.0 if min(known) <= 0 else len(known) / sum(1 / value for value in known)


@dataclass(frozen=True)
class QualityThresholds:
    """What a rendering must keep to, and by the same names what can be wrong with it. What is NaN breaks none.

    At most: ``length_error``, ``clipped``, ``silence`` and ``joints``, the joint prominence. At least: ``level`` in
    dBFS, ``notes_found``, ``attacks_explained`` and ``codes_match``. ValueError for values that make no sense.

    The two shares of ``renderer/quality/note_match.py`` are set so low that clean renderings by sampled pianos hardly
    ever fall below: dense music, pedal and rooms lower them as well. They tell broken renderings, not slightly wrong
    ones. ``codes_match`` is set so low that it tells a model that has hardly learned: of dense music in rooms, codes of
    recordings themselves can be below.
    """

    length_error: float = 0
    clipped: float = 1e-3
    level: float = -60.0
    silence: float = 0.5
    joints: float = 2.0
    notes_found: float = 0.45
    attacks_explained: float = 0.8
    codes_match: float = 0.3

    def __post_init__(self) -> None:
        for name in ("clipped", "notes_found", "attacks_explained", "codes_match"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share, 0 to 1")
        for name in ("length_error", "silence", "joints"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not np.isfinite(self.level):
            raise ValueError(f"level is {self.level}; it must be a number of dBFS")

    def faults(self, quality: Quality) -> tuple[str, ...]:
        """The names of the thresholds that a rendering breaks; none for a good one."""
        broken = {
            "length_error": quality.length_error > self.length_error,
            "clipped": quality.clipped > self.clipped,
            "level": quality.rms_dbfs < self.level,
            "silence": quality.silence > self.silence,
            "joints": quality.joint_prominence > self.joints,
            "notes_found": quality.notes_found < self.notes_found,
            "attacks_explained": quality.attacks_explained < self.attacks_explained,
            "codes_match": quality.codes_match < self.codes_match,
        }
        return tuple(name for name, is_broken in broken.items() if is_broken)


def measure_quality(
    samples: FloatSamples,
    sample_rate: int,
    notes: Notes,
    duration: float,
    joints: FloatArray = _NO_JOINTS,
    crossfade: float = 0.1,
) -> Quality:
    """Measure mono float32 (N,), N >= 1, which was to last ``duration`` seconds and to play ``notes``.

    ``joints`` are where segments were joined, in seconds, each at the end of a cross-fade. A segment, or any other
    stretch, is measured in the same way: by its own samples and the notes that sound in it, counted from its start,
    where notes struck before it have an onset below 0. ValueError if there are no samples, or some are no numbers.
    """
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"samples must be finite numbers (N,) with N >= 1, not {samples.shape}")
    peak, level = largest(samples), root_mean_square(samples)
    match = match_notes(samples, sample_rate, notes)
    return Quality(
        length_error=abs(len(samples) - round(duration * sample_rate)),
        peak=peak,
        clipped=float((np.abs(samples) > 1).mean()) if peak > 1 else 0.0,
        rms_dbfs=20 * math.log10(level) if level else -math.inf,
        silence=_longest_silence(samples, sample_rate, notes, level),
        joint_prominence=(
            joint_prominence(samples, sample_rate, notes, joints, crossfade) if len(joints) else float("nan")
        ),
        notes_found=match.found,
        attacks_explained=match.explained,
    )


def _longest_silence(samples: FloatSamples, sample_rate: int, notes: Notes, whole: float) -> float:
    """The longest run of frames in which a note that was struck shortly before should sound, and nothing does.

    ``whole`` is the level of all samples.
    """
    size = round(_FRAME_SECONDS * sample_rate)
    frames, full = -(-len(samples) // size), len(samples) // size
    energy = np.empty(frames)
    blocks = samples[: full * size].reshape(full, size)
    np.einsum("ts,ts->t", blocks, blocks, dtype=np.float64, out=energy[:full])
    if full < frames:
        energy[full] = np.square(samples[full * size :], dtype=np.float64).sum()
    level = 10 * np.log10(energy / size + 1e-20)
    silent = level < max(10 * math.log10(whole**2 + 1e-20) - _SILENT_BELOW_ITEM_DB, _SILENT_DBFS)
    if not silent.any():
        return 0.0
    held = np.minimum(notes.offset, notes.onset + _STRUCK_SECONDS)
    first = np.ceil(notes.onset / _FRAME_SECONDS).astype(np.int64).clip(0, frames)
    last = np.floor(held / _FRAME_SECONDS).astype(np.int64).clip(first, frames)
    change = np.bincount(first, minlength=frames + 1) - np.bincount(last, minlength=frames + 1)
    return _longest_run(silent & (np.cumsum(change[:-1]) > 0)) * _FRAME_SECONDS


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
