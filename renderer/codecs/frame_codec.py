"""The frame codec: a light neural codec for the CPU, whose networks all run at frame rate.

The waveform comes from an inverse STFT, as in Vocos (arXiv 2306.00814).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.neural_codec import NeuralCodec
from renderer.midi.notes import Notes

_LOWEST_BAND_HZ = 20.0
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


def mel_filters(bands: int, fft: int, sample_rate: int) -> torch.Tensor:
    """Triangles of height 1, even in mel from 20 Hz to half the sample rate: (bands, fft / 2 + 1)."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    corners = torch.linspace(mel(_LOWEST_BAND_HZ), mel(sample_rate / 2), bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (corners / 2595) - 1)
    lower, centre, upper = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64)
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    return torch.minimum(rising, falling).clamp_min(0).float()


class Block(nn.Module):
    """ConvNeXt block over time: (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mixed = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        change: torch.Tensor = self.project(functional.gelu(self.expand(self.norm(mixed))))
        return x + self.scale * change


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


class ResidualQuantizer(nn.Module):
    """Each codebook quantizes what the ones before it left over; in float32."""

    def __init__(self, codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(torch.randn(codebooks, codebook_size, dimension) / dimension**0.5)

    def encode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (B, T, dimension) -> codes (B, K, T) int64: the nearest rows by squared distance."""
        residual = latent.float()
        codes = []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook))
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (B, K, T) -> latents (B, T, dimension): the sum of the rows."""
        rows = [functional.embedding(codes[:, k], codebook) for k, codebook in enumerate(self.codebooks)]
        return torch.stack(rows).sum(dim=0)


def nearest(latents: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Which row of a table (codes, D) is nearest to each latent, by squared distance: (..., D) -> (...) int64."""
    # The latent's own square is the same for all rows.
    return (table.square().sum(dim=1) - 2 * latents @ table.T).argmin(dim=-1)


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


def overlap_add(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Frames (B, F, size), each ``hop`` samples after the one before -> audio (B, (F - 1) * hop + size)."""
    count, size = frames.shape[1:]
    length = (count - 1) * hop + size
    summed = functional.fold(frames.transpose(1, 2), output_size=(1, length), kernel_size=(1, size), stride=(1, hop))
    return summed[:, 0, 0]
