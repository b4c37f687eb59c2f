"""Players: touch and timing change by rule, and what is played can still be played."""

import numpy as np
import pytest

from renderer.midi.notes import Notes
from renderer.pianos.player import AS_WRITTEN, Player


def music(seed: int = 0, seconds: float = 60.0) -> Notes:
    """Chords of three, twice a second, all alike in velocity; keys are struck again while they sound."""
    random = np.random.default_rng(seed)
    onset = np.repeat(np.arange(0.0, seconds, 0.5), 3)
    duration = random.uniform(0.05, 0.5, len(onset))
    pitch = np.concatenate([random.permutation(np.arange(48, 72))[:3] for _ in range(len(onset) // 3)])
    return Notes.of(onset, onset + duration, pitch, np.full(len(onset), 75))


def test_what_is_played_as_written_is_left_alone() -> None:
    notes = music()
    assert AS_WRITTEN.play(notes, seed=1) is notes


@pytest.mark.parametrize("seed", range(20))
def test_no_key_is_struck_while_it_is_down_and_no_note_is_lost(seed: int) -> None:
    notes, player = music(seed), Player.drawn(np.random.default_rng(seed))
    played = player.play(notes, seed)
    assert sorted(played.pitch.tolist()) == sorted(notes.pitch.tolist())
    assert played.onset.min() >= 0 and played.end <= notes.end
    assert played.velocity.min() >= 1 and played.velocity.max() <= 127
    for key in np.unique(played.pitch):
        mine = played.pitch == key
        order = np.argsort(played.onset[mine])
        assert np.all(played.onset[mine][order][1:] >= played.offset[mine][order][:-1] - 1e-9)


def test_a_seed_is_one_performance_and_another_seed_is_another() -> None:
    player = Player(uneven=4.0, loose=0.005)
    first, again, other = (player.play(music(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.onset, again.onset)
    np.testing.assert_array_equal(first.velocity, again.velocity)
    assert not np.array_equal(first.velocity, other.velocity)


def test_flat_velocities_swell_and_the_top_voice_stands_out() -> None:
    notes = music()
    swelled = Player(swell=10.0, phrase=6.0).play(notes, 3).velocity.astype(float)
    assert 5 < swelled.std() < 15
    chords = swelled.reshape(-1, 3)
    assert np.ptp(chords, axis=1).max() == 0  # Slow: within a chord it is one.
    assert np.corrcoef(chords[:-1, 0], chords[1:, 0])[0, 1] > 0.7
    sung = Player(melody=12.0).play(notes, 3)
    top = sung.pitch.reshape(-1, 3).argmax(axis=1)
    assert np.all(sung.velocity.reshape(-1, 3).argmax(axis=1) == top)
    assert sung.velocity.mean() == pytest.approx(75, abs=1)


def test_loudness_and_contrast_move_and_widen_velocities() -> None:
    notes = music()
    uneven = Notes.of(notes.onset, notes.offset, notes.pitch, 60 + notes.pitch % 3 * 10)
    played = Player(loudness=-15.0, contrast=1.5).play(uneven, 0)
    assert played.velocity.mean() == pytest.approx(uneven.velocity.mean() - 15, abs=1)
    assert played.velocity.std() == pytest.approx(1.5 * uneven.velocity.std(), rel=0.05)


def test_the_melody_leads_and_notes_are_detached() -> None:
    notes = music()
    played = Player(lead=0.012, legato=0.75).play(notes, 0)
    order = np.lexsort((played.pitch, np.rint(played.onset * 2)))
    onset = played.onset[order].reshape(-1, 3)
    early = onset[1:, :2].mean(axis=1) - onset[1:, 2]
    assert np.median(early) == pytest.approx(0.012, abs=1e-6)
    assert np.median(played.duration) < 0.8 * np.median(notes.duration) + 0.012
