"""What the renderer needs of an audio codec, whichever network it is."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch.nn.utils.rnn import pad_sequence

from renderer.midi.notes import Notes


class Codec(Protocol):
    """Mono audio to discrete codes and back, at a fixed frame rate.

    One frame is ``sample_rate // frame_rate`` samples. A batch may hold clips of different lengths: what lies
    behind a clip's length never changes the clip, and a clip's result does not depend on its neighbours.
    """

    sample_rate: int
    frame_rate: int
    codebooks: int
    codebook_size: int

    @property
    def clips_at_once(self) -> int:
        """How many clips it is worth to decode in one call."""
        ...

    def encode(self, audio: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Audio (B, N) float32 in [-1, 1], ``lengths`` (B,) in samples -> codes (B, K, T) int64.

        T is ``ceil(N / samples per frame)``; frames behind a clip's length are 0.
        """
        ...

    def decode(
        self, codes: torch.Tensor, lengths: torch.Tensor | None = None, notes: Sequence[Notes] | None = None
    ) -> torch.Tensor:
        """Codes (B, K, T) int64, ``lengths`` (B,) in frames -> audio (B, T * samples per frame) float32.

        Samples behind a clip's length are 0. ``notes`` are those of each clip, in seconds from its beginning, those
        struck before it included; a codec whose decoder was not trained with notes does not look at them.
        """
        ...


def decode_clips(
    codec: Codec, codes: Sequence[torch.Tensor], notes: Sequence[Notes] | None = None
) -> Iterator[torch.Tensor]:
    """Codes (T, K) of clips of any lengths -> audio (T * samples per frame,) float32 of each, in one call."""
    lengths = torch.tensor([len(clip) for clip in codes])
    audio = codec.decode(pad_sequence(list(codes), batch_first=True).transpose(1, 2), lengths, notes)
    for samples, length in zip(audio, lengths.tolist(), strict=True):
        yield samples[: length * (codec.sample_rate // codec.frame_rate)]
