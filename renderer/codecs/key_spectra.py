"""What the keys of a piano sound like, as loudnesses of oscillators."""

import math

import torch
from torch import nn

from renderer.codecs.oscillators import oscillator_frequencies
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY

_FALLOFF = (0.5, 2.5)
_FAINTEST = 1e-5


class KeySpectra(nn.Module):
    """How loud each spectrum is, (..., KEYS * count) >= 0 -> how loud each oscillator is, (..., oscillators).

    A key has ``count`` spectra, from bright to dull. They begin as the partials of a stiff string and are learned;
    as they are products of what they were, silence between partials stays almost silent.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        frequencies = torch.tensor(oscillator_frequencies(), dtype=torch.float64)
        falloffs = [_FALLOFF[0] + (_FALLOFF[1] - _FALLOFF[0]) * place / max(1, count - 1) for place in range(count)]
        spectra = []
        for key in range(LOWEST_KEY, HIGHEST_KEY + 1):
            places = _partials(key, frequencies)
            spectra += [_loudness(places, falloff, len(frequencies)) for falloff in falloffs]
        self.log_loudness = nn.Parameter((torch.stack(spectra) + _FAINTEST).log().float())

    def forward(self, loudness: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return loudness.to(self.log_loudness.dtype) @ self.log_loudness.exp()


def _partials(key: int, frequencies: torch.Tensor) -> list[int]:
    """Which oscillator is nearest to each partial of a key, as far as there are any."""
    fundamental = 440 * 2 ** ((key - 69) / 12)
    # Of a grand piano: about 1e-4 in the bass, and from middle C up twice as much every eight keys.
    stiffness = 1e-4 * 2 ** (max(0, key - 52) / 8)
    places = []
    for number in range(1, 60):
        hertz = number * fundamental * math.sqrt((1 + stiffness * number**2) / (1 + stiffness))
        if hertz > frequencies[-1]:
            break
        places.append(int((frequencies - hertz).abs().argmin()))
    return places


def _loudness(places: list[int], falloff: float, oscillators: int) -> torch.Tensor:
    """Partial n is n ** -falloff loud; of several at one oscillator the loudest counts: (oscillators,) float64."""
    loudness = [0.0] * oscillators
    for number, place in enumerate(places, start=1):
        loudness[place] = max(loudness[place], number**-falloff)
    return torch.tensor(loudness, dtype=torch.float64)
