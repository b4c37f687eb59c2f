"""Settings drawn by chance: each its own, whole in its facts, plausible, and true to the labels."""

import json
from typing import Any

import numpy as np
import pytest

from renderer.pianos.piano import SAMPLE_RATE
from renderer.pianos.player import AS_WRITTEN
from renderer.pianos.room import Room
from renderer.pianos.setting import Setting, drawn_name
from renderer.pianos.voicing import AS_RECORDED
from tests.renderer.pianos.test_room import decay_seconds

SETTINGS = [Setting.named(drawn_name(0, index)) for index in range(60)]


def test_a_name_is_one_setting_and_another_index_or_seed_another() -> None:
    assert [Setting.named(drawn_name(0, index)) for index in range(60)] == SETTINGS
    others = [Setting.named(drawn_name(1, index)) for index in range(60)]
    assert len({json.dumps(setting.facts()) for setting in SETTINGS + others}) == 120
    assert len({setting.room.decay for setting in SETTINGS + others}) == 120


def test_facts_are_json_and_hold_every_parameter() -> None:
    facts = json.loads(json.dumps(SETTINGS[7].facts()))
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in facts["room"].items()}
    assert Room(**values) == SETTINGS[7].room
    assert facts["voicing"]["pitch"] == SETTINGS[7].voicing.pitch
    assert facts["player"]["swell"] == SETTINGS[7].player.swell


def test_named_rooms_leave_piano_and_player_alone() -> None:
    assert Setting.named("hall-2") == Setting(Room.named("hall-2"), AS_RECORDED, AS_WRITTEN)
    with pytest.raises(ValueError, match="room 'drawn-1' is unknown"):
        Setting.named("drawn-1")


def test_the_direct_sound_of_drawn_rooms_comes_at_once() -> None:
    for setting in SETTINGS[:30]:
        response = np.abs(setting.room.impulse_response)
        assert response.argmax() < SAMPLE_RATE // 2000
        assert np.sum(response[:64] ** 2) > 2 * np.max(np.convolve(response[320:] ** 2, np.ones(64), "valid"))


def test_reverberation_decays_as_stated_and_is_longer_in_larger_rooms() -> None:
    stated = np.array([setting.room.decay for setting in SETTINGS])
    volumes = np.array([setting.room.volume for setting in SETTINGS])
    assert stated[volumes < 100].mean() < 0.6 < 1.1 < stated[volumes > 3000].mean()
    for setting in SETTINGS[:20]:
        room = setting.room
        assert decay_seconds(room) == pytest.approx(room.decay, rel=0.6)
        assert 0.25 <= room.distance < 25 and 0 <= room.direct <= 16


def test_settings_spread_over_what_there_is() -> None:
    rooms, voicings = [setting.room for setting in SETTINGS], [setting.voicing for setting in SETTINGS]
    for values, lowest, highest in (
        ([room.decay for room in rooms], 0.4, 1.5),
        ([room.direct for room in rooms], 2.0, 12.0),
        ([room.gain for room in rooms], -6.0, 3.0),
        ([room.noise for room in rooms], -88.0, -72.0),
        ([voicing.pitch for voicing in voicings], -8.0, 8.0),
        ([voicing.hardness for voicing in voicings], -18.0, 18.0),
        ([voicing.knock or 0.0 for voicing in voicings], -32.0, -16.0),
    ):
        assert min(values) < lowest < highest < max(values)
