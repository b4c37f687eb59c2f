"""A performance of any length as segments the model can render, and their audio joined again.

A segment renders a little more than it keeps: a pre-roll, in which notes held over the cut are struck unheard, as
softly as they sound by then, and a post-roll, so that the codec sees what follows. Cuts lie where little sounds. So
no note is lost and none is heard twice, and since everything is counted in frames, nothing drifts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray, Notes
from renderer.model.piano_roll import notes_near

_DECAY_SECONDS = 1.0


@dataclass(frozen=True)
class SegmentLimits:
    """How segments are cut; all in frames, but for ``notes``.

    ``longest`` bounds what a segment renders, pre-roll and post-roll included. The pre-roll starts where least
    sounds, between ``preroll`` and twice as many frames before the cut; the crossfade ends at the cut. ``notes``
    bounds how many notes are struck before the cut and how many after it: where there are more, both get shorter.
    """

    longest: int
    preroll: int = 25
    postroll: int = 3
    crossfade: int = 5
    notes: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.crossfade <= self.preroll or self.postroll < 0:
            raise ValueError(f"the crossfade must lie within the pre-roll: {self}")
        if self.longest < 4 * self.preroll + self.postroll:
            raise ValueError(f"segments of {self.longest} frames have no room for pre-roll and post-roll")


@dataclass(frozen=True, eq=False)
class Segment:
    """Frames [start, stop) are rendered, of which [keep, end) are its own; ``notes`` count from ``start``."""

    index: int
    start: int
    keep: int
    end: int
    stop: int
    notes: Notes

    @property
    def frames(self) -> int:
        """How many frames are rendered."""
        return self.stop - self.start


class Span(Protocol):
    """Where a segment lies, in frames: as of :class:`Segment`."""

    @property
    def start(self) -> int:
        """The first frame that is rendered."""
        ...

    @property
    def keep(self) -> int:
        """The first frame of its own."""
        ...

    @property
    def end(self) -> int:
        """The frame behind its own."""
        ...

    @property
    def frames(self) -> int:
        """How many frames are rendered."""
        ...


class SegmentCodes(NamedTuple):
    """A segment as a codec's codes (frames, K) uint16: all that its audio is decoded from, beside the notes.

    It begins at frame ``start``; [keep, end) are its own frames.
    """

    start: int
    keep: int
    end: int
    codes: NDArray[np.uint16]

    @property
    def frames(self) -> int:
        """How many frames are rendered."""
        return len(self.codes)

    @property
    def own(self) -> NDArray[np.uint16]:
        """The codes of its own frames."""
        return self.codes[self.keep - self.start : self.end - self.start]


def plan_segments(notes: Notes, frames: int, frame_rate: int, limits: SegmentLimits) -> Iterator[Segment]:
    """Cut a performance of ``frames`` frames, in order; the segments' own frames cover it exactly once."""
    loudness = sounding(notes, frames, frame_rate)
    onset_frame = notes.onset * frame_rate
    keep = index = 0
    while keep < frames:
        start = quietest(loudness, max(0, keep - 2 * limits.preroll), max(0, keep - limits.preroll))
        sparse_from, sparse_to = _sparse(onset_frame, keep, limits.notes, frames)
        start = min(max(start, sparse_from), max(0, keep - limits.crossfade))
        end = frames
        if end > min(start + limits.longest, sparse_to):
            latest = max(keep + 1, min(start + limits.longest - limits.postroll, sparse_to))
            earliest = keep + (latest - keep + 1) // 2
            end = quietest(loudness, earliest, latest)
        stop = min(end + limits.postroll, frames)
        yield Segment(index, start, keep, end, stop, notes_between(notes, start / frame_rate, stop / frame_rate))
        keep, index = end, index + 1


def sounding(notes: Notes, frames: int, frame_rate: int) -> FloatArray:
    """How much sounds just before each frame boundary 0..frames, (frames + 1,) float64: velocities, decaying.

    A note struck exactly on a boundary does not sound before it: cutting right before an onset is best.
    """
    decay = np.exp(-1.0 / (_DECAY_SECONDS * frame_rate))
    first = np.ceil(notes.onset * frame_rate + 1e-6).astype(np.int64).clip(0, frames)
    last = np.ceil(notes.offset * frame_rate).astype(np.int64).clip(first, frames)
    change = np.zeros(frames + 1)
    np.add.at(change, first, notes.velocity.astype(np.float64))
    np.add.at(change, last, -notes.velocity * decay ** (last - first))
    level = 0.0
    levels = np.empty(frames + 1)
    for frame, step in enumerate(change):
        level = level * decay + step
        levels[frame] = level
    return levels


def quietest(loudness: FloatArray, first: int, last: int) -> int:
    """The frame in [first, last] before which least sounds; the last of several."""
    return last - int(loudness[first : last + 1][::-1].argmin())


def notes_between(notes: Notes, start: float, stop: float) -> Notes:
    """What sounds in [start, stop), counted from ``start``; notes held since before are struck there, softened.

    A piano tone's amplitude grows about with the square of the velocity.
    """
    age = np.maximum(start - notes.onset, 0.0)
    softened = np.rint(notes.velocity * np.exp(-age / (2 * _DECAY_SECONDS))).clip(1).astype(np.int64)
    sounding = Notes.of(notes.onset, notes.offset, notes.pitch, softened)
    return sounding.clipped(start, stop).shifted(-start)


class Joiner:
    """Collects the audio of a performance's segments, in any order, into one waveform of exactly ``samples``.

    Neighbours are cross-faded with equal power over the last frames before the cut, where both have been rendered.
    """

    def __init__(self, samples: int, frame_samples: int, crossfade: int) -> None:
        self.samples: FloatSamples = np.zeros(samples, dtype=np.float32)
        self._frame = frame_samples
        phase = (np.arange(crossfade * frame_samples) + 0.5) / (crossfade * frame_samples) * (np.pi / 2)
        self._rise = np.sin(phase).astype(np.float32)
        self._fall = np.cos(phase).astype(np.float32)

    def add(self, segment: Span, audio: FloatSamples) -> None:
        """Add a segment's audio, float32 (segment.frames * frame_samples,)."""
        if audio.shape != (segment.frames * self._frame,):
            raise ValueError(f"segment of {segment.frames} frames came with audio of shape {audio.shape}")
        fade = len(self._rise)
        begin, end = segment.keep * self._frame, segment.end * self._frame
        own = audio[: end - segment.start * self._frame].copy()
        if segment.keep > 0:
            own = own[begin - fade - segment.start * self._frame :]
            own[:fade] *= self._rise
            begin -= fade
        if end < len(self.samples):
            own[-fade:] *= self._fall
        self.samples[begin:end] += own[: len(self.samples) - begin]


def _sparse(onset_frame: FloatArray, cut: int, notes: int, frames: int) -> tuple[int, int]:
    """The frames around a cut, [from, to), within which at most ``notes`` notes are struck on either side of it."""
    struck = int(np.searchsorted(onset_frame, cut))
    before, after = struck - notes - 1, struck + notes
    return (
        int(np.ceil(onset_frame[before])) if before >= 0 else 0,
        int(onset_frame[after]) if after < len(onset_frame) else frames,
    )


def decoder_notes(notes: Notes, segment: Span, frame_rate: int) -> Notes:
    """A segment's notes as its decoder is given them: unlike the model, it knows when those before it were struck."""
    return notes_near(notes, segment.start / frame_rate, (segment.start + segment.frames) / frame_rate)
