"""A request on its way: cut into segments, whose audio and codes are joined again."""

import numpy as np

from renderer.codecs.codec import Codec
from renderer.midi.notes import Notes
from renderer.model.piano_roll import notes_near
from renderer.quality.attempts import Trial
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import Joiner, Segment, SegmentLimits, plan_segments


class Piece:
    """Which of a request's segments are still missing, and the audio so far."""

    def __init__(self, request: RenderRequest, codec: Codec, limits: SegmentLimits) -> None:
        self.request = request
        self._codec, self._limits = codec, limits
        samples = round(request.duration * codec.sample_rate)
        frame_samples = codec.sample_rate // codec.frame_rate
        frames = -(-samples // frame_samples)
        self.segments = list(plan_segments(request.performance.notes, frames, codec.frame_rate, limits))
        self._missing = len(self.segments)
        self._retried = self._frames = 0
        self._joiner = Joiner(samples, frame_samples, limits.crossfade)
        self._codes = np.empty((codec.codebooks, frames), np.uint16)

    @property
    def is_whole(self) -> bool:
        """Whether all segments have been added."""
        return self._missing == 0

    @property
    def seconds(self) -> float:
        """Of audio, so far."""
        return self._frames / self._codec.frame_rate

    def seconds_of(self, segment: Segment, frames: int) -> float:
        """For how many seconds of the piece so many frames of a segment are: segments overlap."""
        return frames * (segment.end - segment.keep) / segment.frames / self._codec.frame_rate

    def notes_near(self, segment: Segment) -> Notes:
        """What a segment's decoder is told: unlike the model, it is told when notes before the segment were struck."""
        start, stop = segment.start / self._codec.frame_rate, segment.stop / self._codec.frame_rate
        return notes_near(self.request.performance.notes, start, stop)

    def add(self, trial: Trial) -> None:
        """Add the best of a segment's takes."""
        segment, take = trial.segment, trial.best
        self._joiner.add(segment, take.audio)
        own = take.codes[segment.keep - segment.start : segment.end - segment.start]
        self._codes[:, segment.keep : segment.end] = own.T
        self._missing -= 1
        self._frames += len(own)
        self._retried += trial.count > 1

    def rendering(self) -> Rendering:
        """The whole piece."""
        frame_rate = self._codec.frame_rate
        return Rendering(
            item_id=self.request.item_id,
            samples=self._joiner.samples,
            sample_rate=self._codec.sample_rate,
            duration=self.request.duration,
            notes=self.request.performance.notes,
            report=self.request.performance.report,
            segments=len(self.segments),
            seed=self.request.seed,
            prompt_id=self.request.prompt.prompt_id,
            codes=self._codes,
            joints=np.array([segment.keep / frame_rate for segment in self.segments[1:]]),
            crossfade=self._limits.crossfade / frame_rate,
            segments_retried=self._retried,
        )
