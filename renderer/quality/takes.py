"""When a segment is rendered again, and which of its renderings is kept.

A segment is judged by its own audio and notes alone, so its neighbours cannot change what is kept of it.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.quality.codes_probe import CodesProbe
from renderer.quality.quality import Quality, QualityThresholds, measure_quality
from renderer.segments import Segment


@dataclass(frozen=True)
class Retakes:
    """A segment that breaks a threshold is rendered again, until one take is good or there are ``most`` of them."""

    most: int = 1
    thresholds: QualityThresholds = field(default_factory=QualityThresholds)

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most is {self.most}; it must be 1 or more")


class Take(NamedTuple):
    """One rendering of a segment: its codes (frames, K) and its audio (samples,)."""

    codes: NDArray[np.int64]
    audio: FloatSamples


class Takes:
    """A segment's takes so far: how many there were, and the best of them. With a ``probe`` codes are judged, too."""

    def __init__(self, segment: Segment, retakes: Retakes, probe: CodesProbe | None = None) -> None:
        self.segment = segment
        self.count = 0
        self.is_over = False
        self._retakes, self._probe = retakes, probe
        self._best: Take | None = None
        self._rank = (0, 0.0)

    @property
    def best(self) -> Take:
        """The take with the fewest faults; of several the one that plays the notes best, then the first."""
        assert self._best is not None, "no take was added"
        return self._best

    def add(self, take: Take, sample_rate: int, crossfade: int) -> None:
        """Judge a take; ``crossfade``, in frames, is how much is heard before the segment's own frames."""
        self.count += 1
        if self._retakes.most == 1:
            self._best, self.is_over = take, True
            return
        quality = segment_quality(self.segment, take, sample_rate, crossfade, self._probe)
        faults = () if quality is None else self._retakes.thresholds.faults(quality)
        rank = (-len(faults), 1.0 if quality is None else quality.score)
        if self._best is None or rank > self._rank:
            self._best, self._rank = take, rank
        self.is_over = not faults or self.count == self._retakes.most


def segment_quality(
    segment: Segment, take: Take, sample_rate: int, crossfade: int, probe: CodesProbe | None = None
) -> Quality | None:
    """Measures of what will be heard of a segment's take; None where no note is struck in it.

    Where notes only die away there is little to judge, and no fault in being soft.
    """
    first = max(segment.start, segment.keep - crossfade)
    frame_samples = len(take.audio) // segment.frames
    frames = slice(first - segment.start, segment.end - segment.start)
    heard = take.audio[frames.start * frame_samples : frames.stop * frame_samples]
    seconds = len(heard) / sample_rate
    lead = frames.start * frame_samples / sample_rate
    notes = segment.notes.selected((segment.notes.offset > lead) & (segment.notes.onset < lead + seconds))
    if not (notes.onset >= lead).any():
        return None
    notes = notes.shifted(-lead)
    quality = measure_quality(heard, sample_rate, notes, seconds)
    return quality if probe is None else replace(quality, codes_match=probe.match(take.codes[frames], notes))
