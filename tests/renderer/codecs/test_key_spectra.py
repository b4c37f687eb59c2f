import numpy as np
import pytest
import torch

from renderer.codecs.key_spectra import KeySpectra
from renderer.codecs.oscillators import oscillator_frequencies
from renderer.midi.notes import KEYS


@pytest.mark.parametrize("key", [21, 40, 69, 88])
def test_a_key_begins_as_the_partials_of_its_string(key: int) -> None:
    loudness = torch.zeros(KEYS * 2)
    loudness[2 * (key - 21)] = 1.0
    heard = KeySpectra(2)(loudness).detach().numpy()
    frequencies = np.array(oscillator_frequencies())
    fundamental = 440 * 2 ** ((key - 69) / 12)
    for number in (1, 2, 3):
        near = np.abs(1200 * np.log2(frequencies / (number * fundamental))) < 50
        assert heard[near].max() > 0.5 / number
    between = (frequencies > 1.2 * fundamental) & (frequencies < 1.8 * fundamental)
    assert heard[between].max() < 1e-3


def test_keys_add_up_and_silence_is_silent() -> None:
    spectra = KeySpectra(3)
    one, other = torch.zeros(2, KEYS * 3)
    one[7], other[90] = 0.5, 2.0
    assert torch.allclose(spectra(one + other), spectra(one) + spectra(other))
    assert not spectra(torch.zeros(KEYS * 3)).any()


def test_the_first_spectrum_of_a_key_is_brighter_than_the_last() -> None:
    spectra = KeySpectra(4)
    bright, dull = torch.zeros(2, KEYS * 4)
    bright[4 * 30], dull[4 * 30 + 3] = 1.0, 1.0
    high = torch.tensor(oscillator_frequencies()) > 600
    assert float(spectra(bright)[high].sum()) > 5 * float(spectra(dull)[high].sum())
