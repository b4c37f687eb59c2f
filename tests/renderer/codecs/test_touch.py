"""What notes say of the loudness of a tone, before anything is learned."""

import pytest
import torch

from renderer.codecs.touch import Touch, note_roll
from renderer.midi.notes import KEYS, Notes

RATE, WIDTH = 100, 16


def touched(*notes: tuple[float, float, int, int]) -> torch.Tensor:
    """What is added to the log loudness of each key's only spectrum in 3 s, (frames, KEYS)."""
    with torch.no_grad():
        roll = note_roll(Notes.of(*zip(*notes, strict=True)), 3 * RATE, RATE)
        added: torch.Tensor = Touch(1, WIDTH)(roll, torch.randn(3 * RATE, WIDTH))
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


def test_how_a_key_sounds_depends_on_the_sound_and_on_how_hard_it_was_struck() -> None:
    torch.manual_seed(0)
    touch = Touch(4, WIDTH)
    torch.nn.init.normal_(touch.output.weight)
    soft, hard = (note_roll(Notes.of([0.1], [0.9], [60], [velocity]), RATE, RATE) for velocity in (32, 96))
    one, other = torch.randn(2, 1, WIDTH).expand(2, RATE, WIDTH)
    with torch.no_grad():
        of_key = [touch(roll, sound)[20, 60 - 21] for roll, sound in ((soft, one), (hard, one), (soft, other))]
    assert (of_key[0] - of_key[1]).abs().min() > 0.01 and (of_key[0] - of_key[2]).abs().min() > 0.01


def test_without_notes_nothing_is_added() -> None:
    torch.manual_seed(0)
    touch = Touch(4, WIDTH)
    for parameter in touch.parameters():
        torch.nn.init.normal_(parameter)
    assert not touch(note_roll(None, 50, RATE), torch.randn(50, WIDTH)).any()
