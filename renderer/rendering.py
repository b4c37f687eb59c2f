"""What is asked of the renderer, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import AudioFormat, FloatSamples, resample, write_audio
from renderer.audio.loudness import Gain, Level
from renderer.equalizer import Equalizer
from renderer.midi.notes import FloatArray, NoteReport, Notes, Performance
from renderer.prompt import Prompt
from renderer.quality.codes_probe import CodesProbe
from renderer.quality.quality import Quality, measure_quality
from renderer.quality.takes import Retakes
from renderer.segments import SegmentCodes


@dataclass(frozen=True)
class RenderRequest:
    """One performance to render with one prompt; ``seed`` decides its noise, and nothing else does.

    ``retakes`` says when a segment is rendered again, with other noise, and how often. ``tail`` is how long what
    sounds is heard after the last offset, in seconds.
    """

    item_id: str
    performance: Performance
    prompt: Prompt
    seed: int = 0
    retakes: Retakes = field(default_factory=Retakes)
    tail: float = 1.0

    @property
    def duration(self) -> float:
        """Seconds of audio, tail included."""
        return self.performance.notes.end + self.tail


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered performance.

    ``samples`` is mono float32, exactly round(duration x sample_rate) long, where ``duration`` is the last offset
    and the tail, in seconds; ``notes`` are the notes that sound in it, on the same clock, and ``report`` counts what
    was decided about the others. ``gain`` is what was done to the level the model gave. ``joints`` (segments - 1,)
    are where segments follow one another, in seconds, each at the end of a cross-fade of ``crossfade`` seconds.
    ``segments_retried`` counts the segments of which there was more than one take.

    ``codes`` are the codec's, (K, T): each segment's own frames, one after the other, so T frames cover the piece
    exactly once. The audio was decoded from segments that overlap, with what lies before and after their own
    frames: decoding ``codes`` (and ``notes``) in one go gives nearly the same audio, but not at the joints. From
    ``segment_codes``, which are there if a codec made the audio, :class:`CodesDecoder` makes it to the bit, up to what
    the ``equalizer`` did to it. The ``probe`` is what judges the codes, if the model has one.
    """

    item_id: str
    samples: FloatSamples
    sample_rate: int
    duration: float
    notes: Notes
    report: NoteReport
    segments: int
    seed: int
    prompt_id: str
    codes: NDArray[np.uint16] | None = None
    gain: Gain = field(default_factory=Gain)
    joints: FloatArray = field(default_factory=lambda: np.empty(0))
    crossfade: float = 0.0
    segments_retried: int = 0
    segment_codes: Sequence[SegmentCodes] = ()
    equalizer: Equalizer = field(default_factory=Equalizer)
    probe: CodesProbe | None = None

    def quality(self) -> Quality:
        """Measures of the audio as it is (renderer/quality/quality.py); ValueError if it is empty or no numbers."""
        quality = measure_quality(
            self.samples, self.sample_rate, self.notes, self.duration, self.joints, self.crossfade
        )
        if self.probe is None or self.codes is None:
            return quality
        return replace(quality, codes_match=self.probe.match(self.codes.T.astype(np.int64), self.notes))

    def resampled(self, sample_rate: int) -> "Rendering":
        """The same at another rate, again exactly round(duration x sample_rate) samples long."""
        if sample_rate == self.sample_rate:
            return self
        length = round(self.duration * sample_rate)
        samples = resample(self.samples, self.sample_rate, sample_rate)[:length]
        samples = np.pad(samples, (0, length - len(samples)))  # The filter's rounding: by a sample, if at all.
        return replace(self, samples=samples, sample_rate=sample_rate)

    def levelled(self, level: Level) -> "Rendering":
        """The same at another level; ``gain`` says by how much, or why not."""
        gain = level.gain(self.samples, self.sample_rate)
        return replace(self, samples=gain.apply(self.samples), gain=gain)

    def write(self, path: Path | str, audio_format: AudioFormat = "flac") -> int:
        """Write the audio; how many samples beyond full scale had to be clipped. AudioError if it cannot be."""
        return write_audio(path, self.samples, self.sample_rate, audio_format)
