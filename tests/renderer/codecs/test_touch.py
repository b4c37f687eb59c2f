"""What notes say of the loudness of a tone, before anything is learned."""

import math

import pytest
import torch

from renderer.codecs.touch import Touch, note_roll
from renderer.midi.notes import KEYS, Notes

RATE = 100


def touched(*notes: tuple[float, float, int, int], response: float = 0.0) -> torch.Tensor:
    """What is added to the log loudness of each key's only spectrum in 3 s, (frames, KEYS)."""
    with torch.no_grad():
        added: torch.Tensor = Touch(1, response)(note_roll(Notes.of(*zip(*notes, strict=True)), 3 * RATE, RATE))
    assert added.shape == (3 * RATE, KEYS, 1)
    return added[..., 0]


def test_a_tone_begins_at_once_fades_by_a_straight_line_and_is_damped() -> None:
    tone = touched((1.0, 2.0, 60, 64))[:, 60 - 21]
    assert tone[99] < -6 and tone[100] == pytest.approx(0, abs=0.01)
    assert torch.allclose(tone[100:199].diff(), torch.tensor(-1 / (2 * RATE)), atol=1e-4)
    assert tone[230] < tone[199] - 3


def test_a_louder_strike_adds_more_and_other_keys_stay_silent() -> None:
    added = touched((1.0, 2.0, 60, 32), (1.0, 2.0, 70, 127))
    assert float(added[100, 70 - 21] - added[100, 60 - 21]) == pytest.approx(1.38, abs=0.02)
    others = [key for key in range(KEYS) if key not in (60 - 21, 70 - 21)]
    assert (added[:, others] < -6).all()


def test_a_velocity_response_is_a_power_of_the_velocity_of_the_latest_strike() -> None:
    # Out of order, and of one key twice: what counts is which was struck last.
    notes = [(2.0, 2.5, 60, 96), (1.0, 1.5, 60, 32), (1.0, 2.5, 70, 64)]
    more = touched(*notes, response=1.5) - touched(*notes)
    assert not more[:100].any() and not more[:, 70 - 21].any()
    assert torch.allclose(more[100:200, 60 - 21], torch.tensor(1.5 * math.log(0.5)), atol=1e-5)
    assert torch.allclose(more[200:, 60 - 21], torch.tensor(1.5 * math.log(1.5)), atol=1e-5)
    assert not touched(*notes, response=1.5)[:, 50].sub(touched(*notes)[:, 50]).any()


def test_without_notes_nothing_is_added() -> None:
    torch.manual_seed(0)
    touch = Touch(4, velocity_response=1.0)
    for parameter in touch.parameters():
        torch.nn.init.normal_(parameter)
    assert not touch(note_roll(None, 50, RATE)).any()
