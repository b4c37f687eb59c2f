"""The sinusoidal codec: a light neural codec for the CPU that keeps a piano's tones in tune.

All networks run at frame rate, as in Vocos (arXiv 2306.00814). A decoder of that kind gives a tone that lasts the same
output frame after frame, and so plays only multiples of the frame rate in phase: all else flutters, and a flutter
sounds struck. Here tones come from a bank of oscillators at fixed frequencies, of which the decoder says how loud
each is, and all else is noise that it filters (differentiable synthesis, arXiv 2001.04643). Most of what it says of
them, it says in spectra of single keys that add up, as the tones of a piano do.

Where the notes are known, the decoder can be conditioned on them, and plays what is written. Codes of 40 bits a
frame cannot say which keys are struck at every moment: a decoder that must guess it lets all that sounds swell with
every attack, and strikes notes that nobody struck. Conditioned on notes, it takes from the codes what piano and room
sound like, in the mean of two seconds, and noise. When a tone begins, how loud it is, and how it swells and fades,
follows from the notes and that sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from renderer.codecs.filtered_noise import FilteredNoise
from renderer.codecs.key_spectra import KeySpectra
from renderer.codecs.layers import Block, ResidualQuantizer, overlap_add
from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.oscillators import Oscillators, oscillator_frequencies
from renderer.codecs.tone_analysis import ToneAnalysis
from renderer.codecs.touch import HAS_NOTES, Touch, note_roll
from renderer.midi.notes import KEYS, Notes
from renderer.model.piano_roll import FEATURES

_LOUDEST_TONE = 3.0
_QUIET_TONE, _QUIET_KEY, _QUIET_NOISE = -8.0, -6.0, -3.0
_SOUND_FRAMES = 201
_EQUALIZER_BANDS = 32


@dataclass(frozen=True)
class SinusoidalCodecConfig:
    """Sizes of a sinusoidal codec. A frame, sample_rate / frame_rate samples, holds two synthesis hops.

    ``analysis_floor`` is the smallest magnitude that the encoder tells from silence: above the noise of 16 bits, so
    that a recording has the same codes whatever it is stored in. ``key_spectra`` is how many spectra each key has
    (renderer/codecs/key_spectra.py); 0 leaves all to single oscillators. With ``told_notes`` the decoder is
    note-conditioned; it still decodes codes alone.
    """

    encoder_width: int = 256
    encoder_blocks: int = 3
    latent: int = 64
    codebooks: int = 4
    codebook_size: int = 1024
    decoder_width: int = 256
    decoder_blocks: int = 5
    fine_blocks: int = 2
    key_spectra: int = 4
    told_notes: bool = True
    analysis_floor: float = 3e-2
    sample_rate: int = 32000
    frame_rate: int = 50

    def __post_init__(self) -> None:
        if self.sample_rate % (4 * self.frame_rate):
            raise ValueError(f"{self.frame_rate} frames/s at {self.sample_rate} Hz have no whole quarters")

    @property
    def hop(self) -> int:
        """Samples between two synthesis frames."""
        return self.sample_rate // self.frame_rate // 2


class SinusoidalCodec(NeuralCodec):
    """Magnitudes in two resolutions, convolutional encoder, residual quantizer, convolutional decoder, oscillators."""

    def __init__(self, config: SinusoidalCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = config.sample_rate
        self.frame_rate = config.frame_rate
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        self.analysis = ToneAnalysis(config.sample_rate, 2 * config.hop, config.analysis_floor)
        self.encoder = nn.Sequential(
            nn.Linear(self.analysis.width, config.encoder_width),
            *(Block(config.encoder_width) for _ in range(config.encoder_blocks)),
            nn.Linear(config.encoder_width, config.latent),
        )
        self.quantizer = ResidualQuantizer(config.codebooks, config.codebook_size, config.latent)
        self.decoder = Decoder(config)
        self.oscillators = Oscillators(config.sample_rate, config.hop)
        self.noise = FilteredNoise(config.hop)

    def latent(self, audio: torch.Tensor) -> torch.Tensor:
        """See ``NeuralCodec.latent``; the last frame is filled up with zeros."""
        missing = -audio.shape[-1] % self.frame_samples
        latent: torch.Tensor = self.encoder(self.analysis(functional.pad(audio, (0, missing))))
        return latent.float()

    def quantize(self, latent: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.quantizer.encode(latent)

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.quantizer.decode(codes)

    def synthesize(
        self,
        latent: torch.Tensor,
        first_frame: torch.Tensor | None = None,
        notes: Sequence[Notes | None] | None = None,
    ) -> torch.Tensor:
        """See ``NeuralCodec.synthesize``; the first frame decides the phases of tones and noise.

        Training moves it, so that no network learns one beginning.
        """
        roll = None
        if self.config.told_notes and notes is not None and any(of_clip is not None for of_clip in notes):
            rate = self.sample_rate // self.config.hop
            frames, device = 2 * latent.shape[1], latent.device
            roll = torch.stack([note_roll(of_clip, frames, rate, device) for of_clip in notes])
        tones, noise = self.decoder(latent, roll)
        first_frame = latent.new_zeros(len(latent), dtype=torch.int64) if first_frame is None else first_frame
        start = 2 * first_frame
        frames = self.oscillators(tones, start) + self.noise(noise, start)
        return centred(frames, self.config.hop)

    def note_conditioned(self) -> "SinusoidalCodec":
        """The same codec to be trained with notes; what they mean, its decoder may have yet to learn."""
        codec = SinusoidalCodec(replace(self.config, told_notes=True))
        codec.load_state_dict(self.state_dict(), strict=False)
        return codec

    def codebook_tables(self) -> list[torch.Tensor]:  # noqa: D102
        return list(self.quantizer.codebooks.data)


class Decoder(nn.Module):
    """Latents (B, T, latent) -> amplitudes of tones, and log magnitudes of the noise's bins: (B, 2 T, ...) float32.

    It may be conditioned on notes, (B, 2 T, KEYS, NOTE_FEATURES): see renderer/codecs/touch.py. What reads
    them, ``told`` and ``touch`` in files of weights, have no biases, so that they add nothing to a clip without notes.
    """

    def __init__(self, config: SinusoidalCodecConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.tones, self.bins = len(oscillator_frequencies()), config.hop + 1
        self.input = nn.Linear(config.latent, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.decoder_blocks)))
        self.upsample = nn.Linear(width, 2 * width)
        self.fine_blocks = nn.Sequential(*(Block(width) for _ in range(config.fine_blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.tones + self.bins)
        self.keys = nn.Linear(width, KEYS * config.key_spectra) if config.key_spectra else None
        self.spectra = KeySpectra(config.key_spectra) if config.key_spectra else None
        self.told = nn.Linear(2 * KEYS * (FEATURES + 1), width, bias=False) if config.told_notes else None
        plays_keys = config.told_notes and config.key_spectra > 0
        self.touch = Touch(config.key_spectra, width) if plays_keys else None
        self.equalizer = nn.Linear(width, _EQUALIZER_BANDS) if config.told_notes else None
        self.register_buffer("bands", _bands(_EQUALIZER_BANDS), persistent=False)
        if self.told is not None and self.equalizer is not None:
            nn.init.zeros_(self.told.weight)
            nn.init.zeros_(self.equalizer.weight)
            nn.init.zeros_(self.equalizer.bias)

    def forward(self, latent: torch.Tensor, roll: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        x = sound = self._hidden(latent, roll)
        if roll is not None:
            has_notes = roll[:, :1, 0, HAS_NOTES, None] > 0
            sound = torch.where(has_notes, slow(x), x)
        weights, biases = (part.split([self.tones, self.bins]) for part in (self.head.weight, self.head.bias))
        tones, noise = (functional.linear(sound, weights[0], biases[0]), functional.linear(x, weights[1], biases[1]))
        amplitude = tones.float().clamp_max(_LOUDEST_TONE).exp()
        if self.keys is not None and self.spectra is not None:
            loudness = self.keys(sound).float()
            if self.touch is not None and roll is not None:
                loudness = loudness + self.touch(roll, sound).flatten(-2)
            amplitude = amplitude + self.spectra(loudness.clamp_max(_LOUDEST_TONE).exp()).float()
        if self.equalizer is not None:
            amplitude = amplitude * (self.equalizer(sound).float() @ self.bands.float()).exp()
        return amplitude, noise.float()

    def _hidden(self, latent: torch.Tensor, roll: torch.Tensor | None) -> torch.Tensor:
        """What is known of each of the frames, (B, 2 T, width)."""
        x = self.input(latent.to(self.input.weight.dtype))
        if self.told is not None and roll is not None:
            x = x + self.told(_features(roll).reshape(*x.shape[:2], -1).to(x.dtype))
        x = self.upsample(self.blocks(x)).reshape(x.shape[0], -1, x.shape[2])
        hidden: torch.Tensor = self.norm(self.fine_blocks(x))
        return hidden

    @torch.no_grad()
    def begin_quietly(self) -> None:
        """Initial weights for training: near silence, so that the first steps bring sounds in."""
        self.head.weight.mul_(0.3)
        self.head.bias[: self.tones] = _QUIET_TONE
        self.head.bias[self.tones :] = _QUIET_NOISE
        if self.keys is not None:
            self.keys.weight.mul_(0.3)
            self.keys.bias.fill_(_QUIET_KEY)


def slow(x: torch.Tensor) -> torch.Tensor:
    """Means (B, F, width) over the second before and the one after each frame: nothing begins suddenly there."""
    padded = functional.pad(x.transpose(1, 2), (_SOUND_FRAMES // 2, _SOUND_FRAMES // 2), mode="replicate")
    total = functional.pad(padded.double().cumsum(-1), (1, 0))
    return ((total[..., _SOUND_FRAMES:] - total[..., :-_SOUND_FRAMES]) / _SOUND_FRAMES).to(x.dtype).transpose(1, 2)


def _bands(count: int) -> torch.Tensor:
    """Triangles over the logarithm of the frequency (count, oscillators): weights of bands' gains."""
    frequency = torch.tensor(oscillator_frequencies(), dtype=torch.float64).log()
    place = (frequency - frequency[0]) / (frequency[-1] - frequency[0]) * (count - 1)
    return (1 - (place - torch.arange(count)[:, None]).abs()).clamp_min(0).float()


def centred(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Windowed frames (B, F, 2 hop), each centred on the middle of its hop -> audio (B, F hop)."""
    audio = overlap_add(frames, hop)
    return audio[:, hop // 2 : audio.shape[1] - hop // 2]


def _features(roll: torch.Tensor) -> torch.Tensor:
    """What the decoder's blocks are conditioned on: features, and that there are any."""
    return torch.cat([roll[..., :FEATURES], roll[..., HAS_NOTES : HAS_NOTES + 1]], dim=-1)
