"""Audio as frames of numbers in which two sets of audio can be compared."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples
from renderer.codecs.neural_codec import NeuralCodec
from renderer.midi.notes import FloatArray


class Embedding(Protocol):
    """What a Frechet distance is measured in."""

    name: str
    sample_rate: int

    def frames(self, samples: FloatSamples) -> FloatArray:
        """Mono float32 (N,) at ``sample_rate`` -> (T, D); T may be 0 where the audio is too short."""
        ...


class CodecEmbedding:
    """The quantized latents of a codec, one per frame, as published with Piano-Encodec.

    It favours what the same codec decoded: give a distance in an independent embedding beside it.
    """

    def __init__(self, codec: NeuralCodec, name: str = "codec") -> None:
        self.name = name
        self.sample_rate = codec.sample_rate
        self._codec = codec

    @torch.inference_mode()
    def frames(self, samples: FloatSamples) -> FloatArray:
        """One frame for every begun ``frame_samples`` of the audio, (T, D) float64."""
        codes = self._codec.encode(torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None])
        return self.of_codes(codes[0].T.cpu().numpy())

    @torch.inference_mode()
    def of_codes(
        self, codes: Sequence[Sequence[int]] | np.ndarray[tuple[int, ...], np.dtype[np.integer]]
    ) -> FloatArray:
        """The same from codes (T, K) that are there already."""
        device = next(self._codec.parameters()).device
        wanted = torch.from_numpy(np.asarray(codes, np.int64).T[None].copy()).to(device)
        return np.asarray(self._codec.dequantize(wanted)[0].double().cpu().numpy())
