"""What the two codecs share: how a batch is taken apart, and which part of a codec a cast reaches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import torch
from torch import nn

from renderer.midi.notes import Notes


class NeuralCodec(nn.Module, ABC):
    """An encoder, a residual quantizer and a decoder that satisfy the ``Codec`` protocol.

    A subclass has the submodules ``encoder``, ``quantizer`` and ``decoder``, the protocol's four numbers, and
    the four steps from audio to audio for clips of equal length, which training uses as they are.

    Clips go through convolutions and products one at a time, where a subclass does not say otherwise. So a clip never
    depends on its neighbours, to the last bit: matrix products of other shapes are summed in another order. Batching
    these would not pay on a CPU, where the activations of one clip fill the caches: at full size, eight clips of 5 s
    side by side take longer.
    """

    sample_rate: int
    frame_rate: int
    codebooks: int
    codebook_size: int

    @abstractmethod
    def latent(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (B, N) float32, N >= 1 -> latents (B, ceil(N / frame_samples), D) float32."""

    @abstractmethod
    def quantize(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (B, T, D) -> codes (B, K, T) int64."""

    @abstractmethod
    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (B, K, T) int64 -> quantized latents (B, T, D) float32."""

    @abstractmethod
    def synthesize(
        self,
        latent: torch.Tensor,
        first_frame: torch.Tensor | None = None,
        notes: Sequence[Notes | None] | None = None,
    ) -> torch.Tensor:
        """Latents (B, T, D), T >= 1 -> audio (B, T * frame_samples) float32, in the decoder's arithmetic.

        ``first_frame`` (B,) int64 says at which frame each clip begins, by default 0, to a codec that has a clock.
        ``notes`` is what is played, for a note-conditioned decoder: see ``Codec.decode``; None where it is not to know.
        """

    @abstractmethod
    def codebook_tables(self) -> list[torch.Tensor]:
        """The codebooks' rows (codebook_size, D) float32, in order; training changes them in place."""

    @property
    def clips_at_once(self) -> int:
        """How many clips it is worth to decode in one call."""
        return 1

    @property
    def frame_samples(self) -> int:
        """Samples per frame."""
        return self.sample_rate // self.frame_rate

    def encode(self, audio: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """See ``Codec.encode``; codes are on the codec's device. ValueError for wrong shapes or lengths."""
        if audio.ndim != 2:
            raise ValueError(f"audio must be (clips, samples), not {tuple(audio.shape)}")
        device = self._device()
        frames = -(-audio.shape[1] // self.frame_samples)
        codes = torch.zeros(audio.shape[0], self.codebooks, frames, dtype=torch.int64, device=device)
        for row, clip in _clips(audio, lengths):
            of_clip = self.quantize(self.latent(clip.to(device, torch.float32)))
            codes[row, :, : of_clip.shape[-1]] = of_clip[0]
        return codes

    def decode(
        self, codes: torch.Tensor, lengths: torch.Tensor | None = None, notes: Sequence[Notes] | None = None
    ) -> torch.Tensor:
        """See ``Codec.decode``; audio is on the codec's device. ValueError for wrong shapes or lengths."""
        if codes.ndim != 3 or codes.shape[1] != self.codebooks:
            raise ValueError(f"codes must be (clips, {self.codebooks}, frames), not {tuple(codes.shape)}")
        device = self._device()
        audio = torch.zeros(codes.shape[0], codes.shape[2] * self.frame_samples, device=device)
        if notes is not None and len(notes) != len(codes):
            raise ValueError(f"there are notes of {len(notes)} clips, and codes of {len(codes)}")
        clips = dict(_clips(codes, lengths))
        played = [None if notes is None else notes[row] for row in clips]
        decoded = self._decoded([clip.to(device) for clip in clips.values()], played)
        for row, of_clip in zip(clips, decoded, strict=True):
            audio[row, : of_clip.shape[-1]] = of_clip[0]
        return audio

    def _decoded(self, clips: Sequence[torch.Tensor], notes: Sequence[Notes | None]) -> Iterator[torch.Tensor]:
        """Codes (1, K, T) of some clips, and their notes -> audio (1, T * frame_samples) of each."""
        for clip, played in zip(clips, notes, strict=True):
            yield self.synthesize(self.dequantize(clip), notes=[played])

    def for_inference(self) -> Self:
        """Make this codec as fast as it gets, in place; it can no longer be trained. Do it before a cast."""
        return self.eval().requires_grad_(False)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What ``to``, ``cuda`` and ``bfloat16`` go through: a cast reaches the decoder alone.

        Encoder and quantizer stay float32: in bfloat16, distances to codebook rows cannot be distinguished.
        """

        def move(tensor: torch.Tensor) -> torch.Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        for name, module in self.named_children():
            module._apply(fn if name == "decoder" else move, recurse)
        return self

    def _device(self) -> torch.device:
        return next(self.parameters()).device


def _clips(batch: torch.Tensor, lengths: torch.Tensor | None) -> Iterator[tuple[int, torch.Tensor]]:
    """(row, clip of batch one without its padding) of every clip that is not empty."""
    longest = batch.shape[-1]
    sizes = [longest] * len(batch) if lengths is None else [int(length) for length in lengths]
    if len(sizes) != len(batch) or any(not 0 <= size <= longest for size in sizes):
        raise ValueError(f"lengths {sizes} do not fit a batch of {len(batch)} clips of {longest}")
    for row, size in enumerate(sizes):
        if size:
            # A copy: where a clip lies in memory must not matter either.
            yield row, batch[row : row + 1, ..., :size].clone()
