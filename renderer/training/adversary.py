"""An adversary that learns to tell a codec's output from recordings: EnCodec's multi-scale STFT discriminators."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from renderer.training.team import Team


@dataclass(frozen=True)
class AdversarySettings:
    """``begin`` is the first step with an adversary. The published sizes are 32 filters and windows 2048 to 128.

    ``hinge`` and ``relative_features``: see ``LossRecipe``.
    """

    begin: int
    filters: int = 32
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    rate: float = 3e-4
    adversarial: float = 4.0
    features: float = 4.0
    hinge: bool = True
    relative_features: bool = True


class Adversary:
    """The discriminators and their optimizer. Audio is (B, N) float32."""

    def __init__(self, settings: AdversarySettings, device: torch.device, team: Team) -> None:
        # Here, so that trainings without an adversary run where there is no `encodec`.
        from renderer.codecs.encodec_import import MultiScaleSTFTDiscriminator

        self.settings, self.team = settings, team
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
            network = MultiScaleSTFTDiscriminator(
                filters=settings.filters,
                n_ffts=list(settings.windows),
                hop_lengths=[window // 4 for window in settings.windows],
                win_lengths=list(settings.windows),
            )
        self.network = network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.rate, betas=(0.5, 0.9))

    def learn(self, audio: torch.Tensor, reference: torch.Tensor) -> float:
        """One step with the hinge loss; its value."""
        self.network.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        fake, _ = self.network(audio.detach()[:, None])
        real, _ = self.network(reference[:, None])
        loss = torch.stack(
            [functional.relu(1 - r).mean() + functional.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
        ).mean()
        (loss / self.team.size).backward()
        figures = {"adversary": loss.detach() / self.team.size}
        self.team.add_up(self.network.parameters(), figures)
        self.optimizer.step()
        return float(figures["adversary"])

    def losses(self, audio: torch.Tensor, reference: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the codec has to bring down: being distinguished, and differing in what the discriminators see."""
        self.network.requires_grad_(False)
        fake, fake_features = self.network(audio[:, None])
        with torch.no_grad():
            _, real_features = self.network(reference[:, None])
        hinge = self.settings.hinge
        adversarial = torch.stack([(functional.relu(1 - f) if hinge else -f).mean() for f in fake]).mean()
        distances = [
            (f - r).abs().mean() / (r.abs().mean() if self.settings.relative_features else 1.0)
            for fakes, reals in zip(fake_features, real_features, strict=True)
            for f, r in zip(fakes, reals, strict=True)
        ]
        return {"adversarial": adversarial, "features": torch.stack(distances).mean()}

    def state_dict(self) -> dict[str, object]:
        """Weights and optimizer."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
