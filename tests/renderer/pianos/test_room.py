"""Rooms: the same by name, apart from each other, and true to the labels."""

import numpy as np
import pytest

from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.room import FULL_SCALE, ROOMS, Room

NAMES = [f"{kind}{variant}" for kind in ROOMS for variant in ("", "-1", "-2", "-3")]


def decay_seconds(room: Room) -> float:
    """In which reverberation falls by 60 dB: Schroeder's integral from -5 to -25 dB, extrapolated."""
    remaining = np.cumsum(room.impulse_response[::-1].astype(np.float64) ** 2)[::-1]
    decibels = 10 * np.log10(remaining[320:] / remaining[320] + 1e-12)
    first, last = (int(np.argmax(decibels < level)) for level in (-5, -25))
    return 3 * (last - first) / SAMPLE_RATE


@pytest.mark.parametrize("name", NAMES)
def test_the_direct_sound_comes_first_and_at_once(name: str) -> None:
    response = np.abs(Room.named(name).impulse_response)
    assert response.argmax() == 0
    assert np.sum(response[:64] ** 2) > 2 * np.max(np.convolve(response[320:] ** 2, np.ones(64), "valid"))


def test_halls_sound_longer_than_chambers_and_these_than_close_microphones() -> None:
    close, chamber, hall = (decay_seconds(Room.named(kind)) for kind in ("close", "chamber", "hall"))
    assert 0.1 < close < 0.35 < chamber < 1.1 < hall < 2.5


def test_a_name_is_one_room_and_variants_differ() -> None:
    responses = {name: Room.named(name).impulse_response for name in NAMES}
    for name, response in responses.items():
        np.testing.assert_array_equal(Room.named(name).impulse_response, response)
    assert len({response.tobytes() for response in responses.values()}) == len(NAMES)


def test_rooms_are_equally_loud_but_for_their_gain() -> None:
    random = np.random.default_rng(0)
    spectrum = np.fft.rfft(random.standard_normal(4 * SAMPLE_RATE))
    frequency = np.fft.rfftfreq(4 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    spectrum[(frequency < 150) | (frequency > 2500)] = 0
    dry = 0.02 * np.fft.irfft(spectrum).astype(np.float32)
    for name in NAMES:
        room = Room.named(name)
        wet = room.record(dry, seed=1)[2 * SAMPLE_RATE :]
        change = 10 * np.log10(np.mean(wet**2) / np.mean(dry[2 * SAMPLE_RATE :] ** 2))
        assert change == pytest.approx(room.gain, abs=1.0)


def test_noise_is_decided_by_the_seed_and_as_loud_as_stated() -> None:
    room, silence = Room.named("hall-2"), np.zeros(5 * SAMPLE_RATE, np.float32)
    noise = room.record(silence, seed=3)
    np.testing.assert_array_equal(room.record(silence, seed=3), noise)
    assert not np.array_equal(room.record(silence, seed=4), noise)
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(room.noise, abs=1.0)


def test_a_recording_is_as_long_as_what_was_played_and_never_beyond_full_scale() -> None:
    room = Room.named("close")
    for samples in (1, 999, 70_001):
        loud = np.full(samples, 3.0, np.float32)
        wet = room.record(loud, seed=0)
        assert wet.shape == (samples,)
        assert wet.dtype == np.float32
        assert np.abs(wet).max() <= FULL_SCALE + 1e-6


@pytest.mark.parametrize("name", ["cave", "hall-", "hall-x", "", "hall-1-2"])
def test_unknown_rooms_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is unknown"):
        Room.named(name)
