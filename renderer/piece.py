"""A request on its way: cut into segments, whose audio and codes are joined again."""

import numpy as np

from renderer.codecs.codec import Codec
from renderer.equalizer import Equalizer
from renderer.midi.notes import Notes
from renderer.quality.codes_probe import CodesProbe
from renderer.quality.takes import Takes
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import Joiner, Segment, SegmentCodes, SegmentLimits, decoder_notes, plan_segments


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
        self._codes: dict[int, SegmentCodes] = {}

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
        """The notes that a segment's decoder is conditioned on."""
        return decoder_notes(self.request.performance.notes, segment, self._codec.frame_rate)

    def add(self, takes: Takes) -> None:
        """Add the best of a segment's takes."""
        segment, take = takes.segment, takes.best
        self._joiner.add(segment, take.audio)
        codes = SegmentCodes(segment.start, segment.keep, segment.end, take.codes.astype(np.uint16))
        self._codes[segment.index] = codes
        self._missing -= 1
        self._frames += len(codes.own)
        self._retried += takes.count > 1

    def rendering(self, equalizer: Equalizer, probe: CodesProbe | None = None) -> Rendering:
        """The whole piece, equalized; with the ``probe`` that judges its codes."""
        frame_rate = self._codec.frame_rate
        segments = [self._codes[index] for index in range(len(self.segments))]
        return Rendering(
            item_id=self.request.item_id,
            samples=equalizer.apply(self._joiner.samples, self._codec.sample_rate),
            sample_rate=self._codec.sample_rate,
            duration=self.request.duration,
            notes=self.request.performance.notes,
            report=self.request.performance.report,
            segments=len(self.segments),
            seed=self.request.seed,
            prompt_id=self.request.prompt.prompt_id,
            codes=np.ascontiguousarray(np.concatenate([segment.own for segment in segments]).T),
            segment_codes=segments,
            joints=np.array([segment.keep / frame_rate for segment in self.segments[1:]]),
            crossfade=self._limits.crossfade / frame_rate,
            segments_retried=self._retried,
            equalizer=equalizer,
            probe=probe,
        )
