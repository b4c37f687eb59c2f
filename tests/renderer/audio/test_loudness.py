import math

import numpy as np
import pyloudnorm
import pytest

from renderer.audio.audio_file import FloatSamples
from renderer.audio.loudness import Gain, Level
from renderer.midi.notes import NoteReport, Notes
from renderer.rendering import Rendering

RATE = 32_000


def tone(seconds: float, amplitude: float, rate: int = RATE) -> FloatSamples:
    time_axis = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * 997 * time_axis)).astype(np.float32)


def rendering(samples: FloatSamples, duration: float | None = None) -> Rendering:
    return Rendering(
        item_id="a",
        samples=samples,
        sample_rate=RATE,
        duration=len(samples) / RATE if duration is None else duration,
        notes=Notes.none(),
        report=NoteReport(),
        segments=1,
        seed=0,
        prompt_id="p",
    )


def loudness(samples: FloatSamples, rate: int = RATE) -> float:
    return float(pyloudnorm.Meter(rate).integrated_loudness(samples.astype(np.float64)))


def test_the_loudness_of_a_full_scale_tone_is_that_of_the_standard() -> None:
    """ITU-R BS.1770-4: a 997 Hz sine of full scale in one channel is -3.01 LUFS."""
    assert Level(loudness=-23.0).gain(tone(3, 1.0), RATE).db == pytest.approx(-23 + 3.01, abs=0.05)


@pytest.mark.parametrize("wanted", [-40.0, -23.0, -14.0])
@pytest.mark.parametrize("rate", [16_000, 32_000, 48_000])
def test_audio_is_brought_to_the_loudness(wanted: float, rate: int) -> None:
    levelled = rendering(np.concatenate([tone(2, 0.01), tone(2, 0.1)])).resampled(rate).levelled(Level(wanted))
    assert loudness(levelled.samples, rate) == pytest.approx(wanted, abs=0.01)
    assert levelled.gain.reason is None and levelled.samples.dtype == np.float32


@pytest.mark.parametrize("peak", [-60.0, -1.0, 0.0])
def test_audio_is_brought_to_the_peak_and_never_beyond(peak: float) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.2, 9000).astype(np.float32)
    levelled = rendering(samples).levelled(Level(peak=peak))
    assert np.abs(levelled.samples).max() == np.float32(10 ** (peak / 20))
    assert levelled.gain.db == pytest.approx(peak - 20 * math.log10(np.abs(samples).max()))


def test_with_both_the_peak_holds_the_loudness_back() -> None:
    clicks = np.zeros(RATE, np.float32)
    clicks[::4000] = 0.9
    held = rendering(clicks).levelled(Level(loudness=-10.0, peak=-1.0))
    assert np.abs(held.samples).max() == pytest.approx(10 ** (-1 / 20))
    assert held.gain.reason == "held back by the peak"
    free = rendering(tone(1, 0.1)).levelled(Level(loudness=-23.0, peak=-1.0))
    assert loudness(free.samples) == pytest.approx(-23.0, abs=0.01) and free.gain.reason is None


def test_what_has_no_loudness_stays_as_it_is_and_says_why() -> None:
    level = Level(loudness=-23.0)
    for samples, reason in [
        (tone(0.399, 0.1), "shorter than 0.4 s"),
        (np.zeros(RATE, np.float32), "silent"),
        (tone(1, 1e-5), "quieter than -70 LUFS"),
    ]:
        levelled = rendering(samples).levelled(level)
        assert levelled.gain == Gain(0.0, reason)
        assert levelled.samples is samples
    assert level.gain(tone(0.4, 0.1), RATE).reason is None
    assert Level(peak=-1.0).gain(np.zeros(5, np.float32), RATE) == Gain(0.0, "silent")
    assert Level(-23.0, -1.0).gain(tone(0.1, 1.0), RATE).db == pytest.approx(-1.0, abs=1e-3)


def test_without_a_level_nothing_is_touched() -> None:
    samples = tone(1, 0.1)
    assert rendering(samples).levelled(Level()).samples is samples
    assert rendering(samples).resampled(RATE).samples is samples


@pytest.mark.parametrize("levels", [{"loudness": 1.0}, {"loudness": -61.0}, {"peak": 0.1}, {"peak": math.nan}])
def test_levels_out_of_reach_are_refused(levels: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be -60 to 0 dB, or off"):
        Level(**levels)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_the_sample_count_at_another_rate_follows_from_the_duration(rate: int) -> None:
    for duration in np.random.default_rng(rate).uniform(0.05, 3.0, 20):
        resampled = rendering(tone(1, 0.1, round(duration * RATE)), duration).resampled(rate)
        assert len(resampled.samples) == round(duration * rate)
        assert resampled.sample_rate == rate and resampled.samples.dtype == np.float32


def test_resampled_audio_does_not_drift() -> None:
    samples = np.zeros(60 * RATE, np.float32)
    samples[59 * RATE] = 0.5
    resampled = rendering(samples).resampled(44_100).samples
    assert int(np.abs(resampled).argmax()) == 59 * 44_100
