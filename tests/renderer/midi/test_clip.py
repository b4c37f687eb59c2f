"""A clip of a MIDI file holds what the whole file has there, read with either pedal policy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from renderer.midi.clip import midi_clip
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.notes import FloatArray, IntArray, Notes, PedalPolicy

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "midi").glob("*.mid"))


@dataclass(frozen=True)
class ByKey:
    """Notes (N,) in the order of their keys, and on each of their onsets."""

    onset: FloatArray
    offset: FloatArray
    pitch: IntArray
    velocity: IntArray


def by_key(notes: Notes) -> ByKey:
    order = np.lexsort((notes.onset, notes.pitch))
    return ByKey(notes.onset[order], notes.offset[order], notes.pitch[order], notes.velocity[order])


@pytest.mark.parametrize("policy", ["ignore", "extend"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_clip_of_an_example_is_a_part_of_it(path: Path, policy: PedalPolicy) -> None:
    whole = read_midi(path, policy).notes
    for start in (0.0, 4.321, 17.0):
        inside = (whole.onset >= start) & (whole.onset < start + 3.0)
        wanted = whole.selected(inside).clipped(start, start + 3.0).shifted(-start)
        clip = read_midi(midi_clip(path, start, start + 3.0), policy).notes
        # Rounding to a tick may change which of two notes comes first.
        ours, whole_s = by_key(clip), by_key(wanted)
        assert (ours.pitch.tolist(), ours.velocity.tolist()) == (whole_s.pitch.tolist(), whole_s.velocity.tolist())
        np.testing.assert_allclose(ours.onset, whole_s.onset, atol=0.002)
        np.testing.assert_allclose(ours.offset, whole_s.offset, atol=0.002)


def test_a_pedal_that_is_down_before_the_clip_holds_its_notes(tmp_path: Path) -> None:
    notes = Notes.of([0.0, 1.5, 2.0], [0.5, 1.75, 2.25], [60, 64, 67], [70, 70, 70])
    (tmp_path / "a.mid").write_bytes(midi_bytes(notes, [(64, 127, 0.25), (64, 0, 2.5), (64, 127, 3.0), (64, 0, 4.0)]))
    clip = midi_clip(tmp_path / "a.mid", 1.0, 4.0)
    np.testing.assert_allclose(read_midi(clip, "extend").notes.offset, [1.5, 1.5], atol=0.002)
    np.testing.assert_allclose(read_midi(clip, "ignore").notes.offset, [0.75, 1.25], atol=0.002)
    held = read_midi(midi_clip(tmp_path / "a.mid", 1.0, 2.25), "extend").notes
    np.testing.assert_allclose(held.offset, [1.25, 1.25], atol=0.002)
    assert midi_clip(tmp_path / "a.mid", 1.0, 4.0) == clip
