"""The frame codec: a light neural codec for the CPU, whose networks all run at frame rate.

The waveform comes from an inverse STFT, as in Vocos (arXiv 2306.00814).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.layers import Block, ResidualQuantizer, overlap_add
from renderer.codecs.mel import mel_filters
from renderer.codecs.neural_codec import NeuralCodec
from renderer.midi.notes import Notes

_LARGEST_LOG_MAGNITUDE = 6.0
_SMALLEST_ENVELOPE = 1e-4


@dataclass(frozen=True)
class FrameCodecConfig:
    """Sizes of a frame codec: a frame, sample_rate / frame_rate samples, holds analysis and synthesis hops.

    ``analysis_floor`` is the smallest magnitude of a mel band that the encoder tells from silence.
    """

    analysis_fft: int = 2048
    analysis_hop: int = 320
    mel_bands: int = 128
    encoder_width: int = 256
    encoder_blocks: int = 4
    latent: int = 64
    codebooks: int = 4
    codebook_size: int = 1024
    decoder_width: int = 384
    decoder_blocks: int = 4
    fine_blocks: int = 3
    upsample: int = 2
    synthesis_fft: int = 1280
    analysis_floor: float = 1e-3
    sample_rate: int = 32000
    frame_rate: int = 50

    def __post_init__(self) -> None:
        frame = self.sample_rate // self.frame_rate
        if self.sample_rate % self.frame_rate or frame % self.analysis_hop or frame % self.upsample:
            raise ValueError(
                f"a frame of {self.sample_rate} / {self.frame_rate} samples does not hold a whole number of "
                f"analysis hops of {self.analysis_hop} and of {self.upsample} synthesis hops"
            )

    @property
    def analysis_frames(self) -> int:
        """Analysis frames per frame."""
        return self.sample_rate // self.frame_rate // self.analysis_hop

    @property
    def synthesis_hop(self) -> int:
        """Samples between two frames of the inverse STFT."""
        return self.sample_rate // self.frame_rate // self.upsample


class FrameCodec(NeuralCodec):
    """Log-mel analysis, convolutional encoder, residual quantizer, convolutional decoder, inverse STFT."""

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = config.sample_rate
        self.frame_rate = config.frame_rate
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        self.analysis = LogMel(config)
        self.encoder = Encoder(config)
        self.quantizer = ResidualQuantizer(config.codebooks, config.codebook_size, config.latent)
        self.decoder = Decoder(config)
        self.synthesis = InverseStft(config.synthesis_fft, config.synthesis_hop)

    def latent(self, audio: torch.Tensor) -> torch.Tensor:
        """See ``NeuralCodec.latent``; the last frame is filled up with zeros."""
        missing = -audio.shape[-1] % self.frame_samples
        latent: torch.Tensor = self.encoder(self.analysis(functional.pad(audio, (0, missing))))
        return latent

    def quantize(self, latent: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.quantizer.encode(latent)

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.quantizer.decode(codes)

    def synthesize(  # noqa: D102
        self,
        latent: torch.Tensor,
        first_frame: torch.Tensor | None = None,
        notes: Sequence[Notes | None] | None = None,
    ) -> torch.Tensor:
        audio: torch.Tensor = self.synthesis(*self.decoder(latent))
        return audio

    def codebook_tables(self) -> list[torch.Tensor]:  # noqa: D102
        return list(self.quantizer.codebooks.data)


class LogMel(nn.Module):
    """Audio (B, T * frame samples) -> scaled log-mel magnitudes (B, T, analysis_frames * mel_bands).

    The analysis frames of one frame lie side by side.
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.analysis_fft), persistent=False)
        filters = mel_filters(config.mel_bands, config.analysis_fft, config.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """See the class."""
        config = self.config
        half = config.analysis_fft // 2
        stft = torch.stft(
            functional.pad(audio, (half, half)),
            config.analysis_fft,
            config.analysis_hop,
            window=self.window,
            center=False,
            return_complex=True,
        )
        frames = audio.shape[-1] // config.analysis_hop
        mel = self.filters @ stft[..., :frames].abs()
        scaled = mel.clamp_min(config.analysis_floor).log() * 0.3 + 0.3
        width = config.analysis_frames * config.mel_bands
        return scaled.transpose(1, 2).reshape(audio.shape[0], -1, width)


class Encoder(nn.Module):
    """Log-mel frames (B, T, analysis_frames * mel_bands) -> latents (B, T, latent)."""

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.input = nn.Linear(config.analysis_frames * config.mel_bands, config.encoder_width)
        self.blocks = nn.Sequential(*(Block(config.encoder_width) for _ in range(config.encoder_blocks)))
        self.output = nn.Linear(config.encoder_width, config.latent)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """See the class."""
        latent: torch.Tensor = self.output(self.blocks(self.input(frames)))
        return latent


class Decoder(nn.Module):
    """Latents (B, T, latent) -> log magnitudes and phases: float32 (B, T * upsample, fft / 2 + 1) each."""

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.upsampling = config.upsample
        width = config.decoder_width
        self.input = nn.Linear(config.latent, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.decoder_blocks)))
        self.upsample = nn.Linear(width, width * config.upsample)
        self.fine_blocks = nn.Sequential(*(Block(width) for _ in range(config.fine_blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.synthesis_fft + 2)

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        x = self.blocks(self.input(latent.to(self.input.weight.dtype)))
        x = self.upsample(x).reshape(x.shape[0], -1, x.shape[2])
        x = self.head(self.norm(self.fine_blocks(x))).float()
        log_magnitude, phase = x.chunk(2, dim=-1)
        return log_magnitude, phase


class InverseStft(nn.Module):
    """Log magnitudes and phases in radians (B, frames, fft / 2 + 1) -> audio (B, frames * hop)."""

    window: torch.Tensor

    def __init__(self, fft: int, hop: int) -> None:
        super().__init__()
        self.fft = fft
        self.hop = hop
        self.register_buffer("window", torch.hann_window(fft), persistent=False)

    def forward(self, log_magnitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """See the class."""
        spectrum = torch.polar(log_magnitude.clamp_max(_LARGEST_LOG_MAGNITUDE).exp(), phase)
        frames = torch.fft.irfft(spectrum, n=self.fft) * self.window
        envelope = overlap_add(self.window.square().expand(1, frames.shape[1], -1), self.hop)
        audio = overlap_add(frames, self.hop) / envelope.clamp_min(_SMALLEST_ENVELOPE)
        edge = (self.fft - self.hop) // 2
        return audio[:, edge:-edge]
