"""The background's level is measured, with or without music over it."""

import numpy as np
import pytest

from renderer.audio.noise import noise_level
from tests.renderer.tones import melody, played


@pytest.mark.parametrize("rate", [16_000, 32_000, 48_000])
@pytest.mark.parametrize("level", [-80.0, -60.0, -40.0])
def test_white_noise_is_reported_alone_and_beneath_notes(level: float, rate: int) -> None:
    # Of what lies above 16 kHz nothing is heard.
    heard = 10 * np.log10(min(1.0, 32_000 / rate))
    noise = np.random.default_rng(0).normal(0, 10 ** (level / 20), 3 * rate).astype(np.float32)
    assert noise_level(noise, rate) == pytest.approx(level + heard, abs=1.0)
    music = played(melody(1, 3.0), 3.0, rate)
    assert 20 * np.log10(music.std()) > -35
    assert noise_level(music + noise, rate) == pytest.approx(level + heard, abs=3.0 if level > -80 else 5.0)


def test_silence_and_the_shortest_audio_have_a_level() -> None:
    assert noise_level(np.zeros(32_000, np.float32), 32_000) == -120.0
    assert noise_level(np.zeros(10, np.float32), 32_000) == -120.0
