"""The training of a codec, step by step, in one process or in several that share the work."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import torch
from torch import nn

from renderer.codecs.neural_codec import NeuralCodec
from renderer.device import choose_dtype
from renderer.errors import TrainingError
from renderer.midi.notes import Notes
from renderer.training.adversary import Adversary, AdversarySettings
from renderer.training.checkpoints import Stateful
from renderer.training.codebook_training import CodebookTraining
from renderer.training.crops import CropBatch, Crops
from renderer.training.gradient_balance import GradientBalance
from renderer.training.learning_rate import LearningRate, set_rate
from renderer.training.loss_recipe import LOSSES, LossRecipe
from renderer.training.mel_loss import MelLoss
from renderer.training.moving_average import MovingAverage
from renderer.training.note_loss import NoteLoss
from renderer.training.randomness import key_of, random_at, seed_torch
from renderer.training.spectral_loss import RESOLUTIONS, SpectralLoss
from renderer.training.team import Team

_LATENTS_PER_CODE = 16
_CLOCK_FRAMES = 10_000


@dataclass(frozen=True)
class CodecTrainingSettings:
    """How a codec is trained.

    ``unquantized`` steps come before the codebooks: an encoder that has learned nothing gives them nothing to hold.
    A share ``shallow`` of the crops uses fewer than all codebooks, so that the first ones hold what matters most. Each
    step is judged in ``resolutions`` of the spectral loss's, drawn at random. ``spectral`` and ``waveform`` weigh the
    losses that are not the adversary's, ``notes`` that of the notes that the latents tell; ``losses`` says what they
    are. A ``clip_norm`` of 0 leaves gradients as they are.

    A note-conditioned decoder is given those of a share ``told`` of the crops; else it learns to do without.
    With ``keep_codes`` the decoder alone learns: what was encoded before, and models of such codes, stay valid.
    """

    rate: LearningRate
    losses: LossRecipe = LOSSES["own"]
    batch: int = 16
    unquantized: int = 1000
    shallow: float = 0.25
    resolutions: int = 2
    spectral: float = 2.0
    waveform: float = 0.0
    notes: float = 0.1
    told: float = 0.8
    keep_codes: bool = False
    commitment: float = 0.25
    codebook_decay: float = 0.99
    codebook_least_use: float = 0.02
    adversary: AdversarySettings | None = None
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be 1 or more")
        if not 1 <= self.resolutions <= len(RESOLUTIONS):
            raise ValueError(f"resolutions is {self.resolutions}; it must be 1 to {len(RESOLUTIONS)}")
        for name in ("shallow", "told"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1")
        choose_dtype(self.precision)


class CodecTraining:
    """A codec on its device, and all that changes while it is trained.

    What step s does is a function of the weights, of s, and of the settings: not of the number of processes, but for
    rounding. ``from_codec`` says that the weights are trained ones, so that the codebooks are used from the start.
    """

    def __init__(
        self,
        codec: NeuralCodec,
        crops: Crops,
        settings: CodecTrainingSettings,
        team: Team,
        from_codec: bool = False,
    ) -> None:
        self.codec, self.crops, self.settings, self.team = codec, crops, settings, team
        self.device = next(codec.parameters()).device
        self.unquantized, self.has_codebooks = 0 if from_codec else settings.unquantized, from_codec
        self.codebooks = CodebookTraining(
            codec.codebook_tables(), settings.codebook_decay, settings.codebook_least_use, team
        )
        codec.quantizer.requires_grad_(False)
        if settings.keep_codes:
            codec.encoder.requires_grad_(False)
        seed_torch(settings.seed, "note loss")
        self.notes = NoteLoss(codec.codebook_tables()[0].shape[1]).to(self.device)
        self.loss = (MelLoss if settings.losses.spectra == "mel" else SpectralLoss)(codec.sample_rate).to(self.device)
        self.average = MovingAverage(codec, settings.average_decay)
        self.optimizer = torch.optim.AdamW(
            self._trained(),
            lr=settings.rate.peak,
            betas=settings.losses.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.adversary = settings.adversary and Adversary(settings.adversary, self.device, team)
        self.balance = GradientBalance(self._weights(), settings.losses.balance_decay, settings.losses.by_item, team)
        self._ahead: dict[int, Future[CropBatch]] = {}

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps."""
        parts: dict[str, Stateful] = {
            "codec": self.codec,
            "average": self.average,
            "optimizer": self.optimizer,
            "codebooks": self.codebooks,
            "balance": self.balance,
            "notes": self.notes,
        }
        return {**parts, "adversary": self.adversary} if self.adversary else parts

    def step(self, number: int) -> dict[str, float]:
        """Learn from the crops of a step; the losses, and the gradient's norm."""
        reading = self._ahead.pop(number, None) or self.crops.ahead(self._numbers(number))
        self._ahead = {number + 1: self.crops.ahead(self._numbers(number + 1))}
        if number == self.unquantized and not self.has_codebooks:
            self._begin_codebooks()
        self.codec.train()
        self.optimizer.zero_grad(set_to_none=True)
        batch = reading.result()
        reference = batch.audio.to(self.device)
        order = random_at(self.settings.seed, "resolutions", number).permutation(len(RESOLUTIONS)).tolist()
        latent, distance = self._latent(reference, number)
        aside = self._aside(latent, batch.notes, distance)
        audio = self._audio(latent, batch.notes, number)[:, : reference.shape[1]]
        figures = self._backward(audio, reference, aside, number, order)
        if not math.isfinite(norm := self._clipped_norm(figures)):
            raise TrainingError(f"step {number}: the gradient's norm is {norm}; a lower learning rate may help")
        set_rate(self.optimizer, self.settings.rate.at(number))
        self.optimizer.step()
        self.average.update(self.codec)
        return {**figures, "gradient_norm": norm, "rate": self.settings.rate.at(number)}

    def _numbers(self, step: int) -> list[int]:
        """Which crops this process learns from in a step."""
        batch = self.settings.batch
        return list(range(step * batch, (step + 1) * batch))[self.team.rank :: self.team.size]

    def _latent(self, reference: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantized latents of crops, and how far those of the encoder lie from them."""
        settings, clips = self.settings, len(reference)
        with self._cast(), torch.set_grad_enabled(not settings.keep_codes):
            latent = self.codec.latent(reference).float()
        if number < self.unquantized:
            return latent, torch.zeros((), device=self.device)
        random, books = random_at(settings.seed, "depth", number, self.team.rank), self.codec.codebooks
        is_shallow = random.random(clips) < settings.shallow
        depth = [int(random.integers(1, books)) if shallow and books > 1 else books for shallow in is_shallow]
        chance = torch.Generator().manual_seed(key_of(settings.seed, "codebooks", number))
        quantized, distances = self.codebooks.quantize(
            latent, torch.tensor(depth, device=self.device), None if settings.keep_codes else chance
        )
        return quantized, distances.mean() if settings.losses.commitment == "codebooks" else distances[-1]

    def _aside(self, latent: torch.Tensor, notes: Sequence[Notes], distance: torch.Tensor) -> dict[str, torch.Tensor]:
        """The losses of the encoder alone; none where it does not learn."""
        if self.settings.keep_codes:
            return {}
        with self._cast():
            missed = self.notes(latent, notes, self.codec.frame_rate)
        return {"notes": missed, "commitment": distance}

    def _audio(self, latent: torch.Tensor, notes: Sequence[Notes], number: int) -> torch.Tensor:
        """What the decoder makes of latents, from random frames of its clock on, and of some crops' notes."""
        random = random_at(self.settings.seed, "clock", number, self.team.rank)
        first_frame = torch.from_numpy(random.integers(_CLOCK_FRAMES, size=len(latent)))
        random = random_at(self.settings.seed, "told", number, self.team.rank)
        is_given = random.random(len(latent)) < self.settings.told
        given = [of_crop if is_of_crop else None for of_crop, is_of_crop in zip(notes, is_given, strict=True)]
        with self._cast():
            audio = self.codec.synthesize(latent, first_frame, given)
        return audio.float()

    def _backward(
        self,
        audio: torch.Tensor,
        reference: torch.Tensor,
        aside: Mapping[str, torch.Tensor],
        number: int,
        order: Sequence[int],
    ) -> dict[str, float]:
        """Gradients of all losses; the losses' values, of this process's share."""
        settings = self.settings
        losses = {"spectral": self._spectral(audio, reference, order[: settings.resolutions])}
        if settings.waveform:
            losses["waveform"] = (audio - reference).abs().mean()
        figures: dict[str, float] = {}
        if self.adversary and settings.adversary and number >= settings.adversary.begin:
            figures["adversary"] = self.adversary.learn(audio, reference)
            losses |= self.adversary.losses(audio, reference)
        figures |= {name: float(loss.detach()) / self.team.size for name, loss in {**losses, **aside}.items()}
        if aside:
            weighted = aside["notes"] * settings.notes + aside["commitment"] * settings.commitment
            (weighted / self.team.size).backward(retain_graph=True)
        if len(losses) > 1:
            self.balance.backward({name: loss / self.team.size for name, loss in losses.items()}, audio)
        else:
            (losses["spectral"] / self.team.size).backward()
        return figures

    def _spectral(self, audio: torch.Tensor, reference: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        if isinstance(self.loss, MelLoss):
            return self.loss(audio, reference)
        return torch.stack([self.loss(audio, reference, int(r)) for r in chosen]).mean()

    def _clipped_norm(self, figures: dict[str, float]) -> float:
        shared = {name: torch.tensor(value) for name, value in figures.items() if name != "adversary"}
        self.team.add_up(self._trained(), shared)
        figures.update({name: float(value) for name, value in shared.items()})
        return float(nn.utils.clip_grad_norm_(self._trained(), self.settings.clip_norm or math.inf))

    @torch.no_grad()
    def _begin_codebooks(self) -> None:
        """K-means over the latents of crops that are drawn for this alone; the same in every process."""
        wanted = _LATENTS_PER_CODE * self.codec.codebook_size
        chance = torch.Generator().manual_seed(key_of(self.settings.seed, "k-means"))
        self.codec.eval()
        latents: list[torch.Tensor] = []
        number = self.settings.rate.steps * self.settings.batch
        while sum(map(len, latents)) < wanted:
            crops = self.crops.ahead(range(number, number + self.settings.batch)).result()
            latents.append(self.codec.latent(crops.audio.to(self.device)).flatten(0, 1))
            number += self.settings.batch
        self.codebooks.initialise(torch.cat(latents), chance)

    def _weights(self) -> Mapping[str, float]:
        settings = self.settings
        weights = {"spectral": settings.spectral, "waveform": settings.waveform}
        if settings.adversary:
            weights |= {"adversarial": settings.adversary.adversarial, "features": settings.adversary.features}
        return weights

    def _cast(self) -> torch.autocast:
        is_bf16 = choose_dtype(self.settings.precision) == torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16)

    def _trained(self) -> list[nn.Parameter]:
        of_notes = [] if self.settings.keep_codes else list(self.notes.parameters())
        return [parameter for parameter in self.codec.parameters() if parameter.requires_grad] + of_notes
