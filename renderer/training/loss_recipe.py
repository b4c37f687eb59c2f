"""Which losses a codec learns from, how they are balanced, and how its optimizer follows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LossRecipe:
    """What two trainings of codecs do differently, beside rates, weights and sizes.

    ``spectra``: some resolutions drawn for each step (SpectralLoss), or all of EnCodec's (MelLoss). ``commitment``: how
    far latents lie from the sum of their rows, or the mean of how far each codebook's input lies from its row.
    ``betas`` are Adam's. The balance averages gradients' norms with ``balance_decay``, of the whole batch or
    ``by_item``. With a ``hinge`` a codec gains nothing by fooling the adversary beyond its margin. Differences of what
    the adversary sees count as they are, or relative to the recording's (``relative_features``).
    """

    spectra: Literal["resolutions", "mel"] = "resolutions"
    commitment: Literal["sum", "codebooks"] = "sum"
    betas: tuple[float, float] = (0.8, 0.99)
    balance_decay: float = 0.99
    by_item: bool = False
    hinge: bool = True
    relative_features: bool = True


LOSSES: Mapping[str, LossRecipe] = {
    "own": LossRecipe(),
    "encodec": LossRecipe(
        spectra="mel",
        commitment="codebooks",
        betas=(0.5, 0.9),
        balance_decay=0.999,
        by_item=True,
        hinge=False,
        relative_features=False,
    ),
}
"""By name: this project's, and those of audiocraft's configuration of EnCodec for 32 kHz (arXiv 2210.13438)."""
