"""Codes back to sound, without the model that drew them: to the very samples that the rendering had."""

from collections.abc import Sequence

import torch

from renderer.audio.audio_file import FloatSamples
from renderer.codecs.codec import Codec, decode_clips
from renderer.codecs.neural_codec import NeuralCodec
from renderer.device import choose_device, choose_precision, codec_dtype, compute_the_same_way, precision_named
from renderer.midi.notes import Notes
from renderer.segments import Joiner, SegmentCodes, SegmentLimits, decoder_notes
from renderer.weights.checkpoint import CodecDescription, find_codec, load_codec


class CodesDecoder:
    """A codec on a device, which decodes ``Rendering.segment_codes``.

    On the kind of device and in the precision of the renderer, its samples are the renderer's to the bit.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    @classmethod
    def load(
        cls, model: str | CodecDescription = "mini", *, device: str = "auto", precision: str = "auto"
    ) -> "CodesDecoder":
        """Load the codec of a model, as ``Renderer.load`` does; CheckpointError if it is absent or broken."""
        description = model if isinstance(model, CodecDescription) else find_codec(model)
        place = choose_device(device)
        compute_the_same_way(place)
        dtype, _ = precision_named(choose_precision(precision, place.type))
        return cls(codec_on(description, place, dtype))

    @property
    def sample_rate(self) -> int:
        """Samples per second of all that is decoded."""
        return self._codec.sample_rate

    @property
    def frame_rate(self) -> int:
        """Frames of codes per second."""
        return self._codec.frame_rate

    @torch.inference_mode()
    def decode(self, segments: Sequence[SegmentCodes], notes: Notes, duration: float) -> FloatSamples:
        """The audio of a piece, float32 (round(duration * sample_rate),), from its segments and the notes it plays."""
        rate, frame_rate = self._codec.sample_rate, self._codec.frame_rate
        joiner = Joiner(round(duration * rate), rate // frame_rate, SegmentLimits.crossfade)
        at_once = self._codec.clips_at_once
        for first in range(0, len(segments), at_once):
            group = segments[first : first + at_once]
            codes = [torch.from_numpy(segment.codes.astype("int64")) for segment in group]
            conditioning = [decoder_notes(notes, segment, frame_rate) for segment in group]
            for segment, audio in zip(group, decode_clips(self._codec, codes, conditioning), strict=True):
                joiner.add(segment, audio.cpu().numpy())
        return joiner.samples


def codec_on(description: CodecDescription, device: torch.device, arithmetic: torch.dtype) -> NeuralCodec:
    """A codec that decodes on a device, beside a model that multiplies so."""
    return load_codec(description).for_inference().to(device, codec_dtype(device, arithmetic))
