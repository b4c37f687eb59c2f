"""Recordings are distinguished by how they sound, not by what is played or how loud."""

import numpy as np
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.timbre import Recogniser, timbre
from tests.renderer.tones import melody, played


def sound(seed: int, dull: bool) -> FloatSamples:
    samples = played(melody(seed, 5.0), 5.0)
    return np.convolve(samples, np.full(12, 1 / 12, np.float32), "same") if dull else samples


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    examples = [
        (timbre(sound(seed, dull), 32000), "dull" if dull else "plain") for seed in range(8) for dull in (False, True)
    ]
    return Recogniser([features for features, _ in examples], [name for _, name in examples])


def test_a_recording_of_other_notes_is_recognised_at_any_level_and_rate(recogniser: Recogniser) -> None:
    for seed in range(20, 28):
        for dull, name in ((False, "plain"), (True, "dull")):
            samples = sound(seed, dull)
            assert recogniser.name(timbre(samples, 32000)) == name
            assert recogniser.name(timbre(0.2 * samples, 32000)) == name
            assert recogniser.name(timbre(samples[: 3 * 32000], 32000)) == name


def test_features_are_numbers_even_of_silence_and_of_moments() -> None:
    for samples in (np.zeros(32000, np.float32), np.ones(3, np.float32)):
        features = timbre(samples, 32000)
        assert features.shape == (320,) and np.isfinite(features).all()
    short = timbre(np.zeros(44100, np.float32), 44100)
    assert short.shape == (320,)


def test_one_class_leaves_nothing_to_tell_apart() -> None:
    features = timbre(sound(0, False), 32000)
    with pytest.raises(ValueError, match="1 class"):
        Recogniser([features, features], ["a", "a"])
