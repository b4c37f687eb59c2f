"""Rows are those of the published tokenizer, and of the bundled model's rule."""

import json
import time
from collections import defaultdict, deque
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.errors import MidiError
from renderer.midi.chunks import read_chunks
from renderer.midi.events import read_events
from renderer.midi.limits import MidiLimits
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY, IntArray, Notes
from renderer.midi.tempo import TempoMap
from renderer.midi.track import NOTE_OFF, NOTE_ON
from renderer.model.tokens import (
    BOS_ID,
    EOS_ID,
    MAX_SECONDS,
    VOCABULARIES,
    TimeGrid,
    octuple_rows,
    rows_of,
    rows_of_ticks,
    with_markers,
)

FIXTURES = Path(__file__).parents[2] / "fixtures"
PROMPTS = Path(__file__).parents[3] / "renderer" / "weights" / "bundled" / "mini" / "prompts"
TOKENIZED = sorted((FIXTURES / "tok").glob("*.npy"))


def published_rows(path: Path) -> IntArray:
    """What the published tokenizer makes of a file: the first instrument's closed notes, ticks alone.

    Its parser pairs otherwise than this project: a note-off closes the oldest open note of its key, unless that was
    struck at the same tick; a program change begins another instrument.
    """
    chunks = read_chunks(path.read_bytes(), 10_000)
    notes: list[list[int]] = []
    for number, track in enumerate(chunks.tracks):
        sounding: defaultdict[tuple[int, int], deque[list[int]]] = defaultdict(deque)
        for tick, kind, channel, pitch, velocity in track.messages:
            opened = sounding[channel, pitch]
            if kind == NOTE_ON:
                opened.append([number, channel, tick, 0, pitch, velocity])
                notes.append(opened[-1])
            elif kind == NOTE_OFF and opened and tick > opened[0][2]:
                note = opened.popleft()
                note[3] = tick - note[2]
    notes = [note for note in notes if note[3] and LOWEST_KEY <= note[4] <= HIGHEST_KEY]
    if notes:
        first, until = notes[0], first_program_change(path, notes[0][0], notes[0][1])
        notes = [note for note in notes if note[:2] == first[:2] and note[2] + note[3] < until]
    onset, duration, pitch, velocity = np.array(notes, np.int64).reshape(-1, 6).T[2:]
    return with_markers(rows_of_ticks(onset, duration, pitch, velocity, chunks.division))


def first_program_change(path: Path, track: int, channel: int) -> float:
    tick = 0.0
    for message in mido.MidiFile(path).tracks[track]:
        tick += message.time
        if message.type == "program_change" and message.channel == channel and tick > 0:
            return float(tick)
    return np.inf


def notes_as_they_stand(path: Path) -> Notes:
    """A file's notes without pedal, and overlapping where they do."""
    events = read_events(path.read_bytes(), MidiLimits())
    tempo = TempoMap(events.division, events.tempo_tick, events.tempo)
    return Notes.of(tempo.seconds(events.onset), tempo.seconds(events.offset), events.pitch, events.velocity)


@pytest.mark.parametrize("path", TOKENIZED, ids=lambda path: path.stem)
def test_rows_equal_the_published_tokenizer(path: Path) -> None:
    np.testing.assert_array_equal(published_rows(path.with_suffix(".mid")), np.load(path))


def test_every_file_that_the_published_tokenizer_accepts_is_compared() -> None:
    published = json.loads((FIXTURES / "tok" / "status.json").read_text())
    accepted = {name for name, file in published.items() if not file["status"].startswith("EXCEPTION")}
    assert {path.stem for path in TOKENIZED} == accepted


def test_files_that_the_published_tokenizer_rejects_get_a_sensible_answer() -> None:
    with pytest.raises(MidiError, match="no notes that a piano could play: 4 on the drum channel"):
        read_midi(FIXTURES / "tok" / "drums.mid")
    assert len(read_midi(FIXTURES / "tok" / "no_time_signature.mid").notes) == 4


def test_direct_rows_equal_the_bundled_models_golden_rows() -> None:
    prompt = notes_as_they_stand(PROMPTS / "salamander-close.mid").clipped(0.0, 3.0)
    segment = notes_as_they_stand(FIXTURES / "golden" / "golden.mid")
    with np.load(FIXTURES / "golden" / "golden.npz") as golden:
        rows = with_markers(rows_of(Notes.joined(prompt, segment.shifted(3.0)), "direct"))
        np.testing.assert_array_equal(rows, golden["midi_rows"])


def test_markers_are_whole_rows() -> None:
    rows = with_markers(rows_of(Notes.of([0.0], [1.0], [60], [64]), "direct"))
    assert rows.tolist() == [[BOS_ID] * 6, [43, 36, 195, 388, 4, 4], [EOS_ID] * 6]
    assert with_markers(rows_of(Notes.none(), "published")).tolist() == [[BOS_ID] * 6, [EOS_ID] * 6]


def test_extremes_stay_within_the_vocabularies() -> None:
    notes = Notes.of([0.0, 0.001, 31.99], [31.0, 0.0011, 100.0], [21, 108, 60], [1, 127, 64])
    for grid in ("published", "direct"):
        rows = rows_of(notes, grid)
        assert (rows >= 4).all()
        assert (rows < VOCABULARIES).all()
        assert rows[:, 2].tolist() == [1155, 4, 1155]


@pytest.mark.parametrize("grid", ["published", "direct"])
def test_notes_from_the_32nd_second_on_are_refused(grid: TimeGrid) -> None:
    with pytest.raises(ValueError, match=r"32\.0 s"):
        rows_of(Notes.of([0.0, MAX_SECONDS], [1.0, 33.0], [60, 60], [64, 64]), grid)


@pytest.mark.parametrize(
    ("onset", "pitch", "fault"), [(-0.1, 60, "onset"), (0.0, 20, "pitches"), (0.0, 109, "pitches")]
)
def test_notes_that_have_no_row_are_refused(onset: float, pitch: int, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        rows_of(Notes.of([onset], [1.0], [pitch], [64]), "direct")


def test_an_unknown_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        rows_of(Notes.none(), "fine")  # type: ignore[arg-type]


def test_the_grids_differ_as_described() -> None:
    # 0.0039 s is 1.716 / 440 s, so 2 / 440 s, so 0.87 / 192 s; directly it is 0.75 / 192 s. Both are 1.
    # 0.0034 s is 1.496 / 440 s, so 1 / 440 s, so 0.44 / 192 s: 0; directly it is 0.65 / 192 s: 1.
    notes = Notes.of([0.0, 0.0034, 0.0039], [1.0, 1.0, 1.0], [60, 61, 62], [64, 64, 64])
    assert rows_of(notes, "published")[:, 4].tolist() == [4, 4, 5]
    assert rows_of(notes, "direct")[:, 4].tolist() == [4, 5, 5]


def test_published_rows_are_ordered_by_the_rounded_onset() -> None:
    notes = Notes.of([1.0, 1.0001], [2.0, 2.0], [70, 60], [64, 64])
    assert rows_of(notes, "published")[:, 0].tolist() == [43, 53]
    assert rows_of(notes, "direct")[:, 0].tolist() == [53, 43]


@given(
    st.lists(
        st.tuples(st.integers(0, 6143), st.integers(1, 1152), st.integers(21, 108), st.integers(1, 127)),
        min_size=1,
        max_size=30,
    )
)
def test_notes_on_the_grid_can_be_known_from_their_rows(notes: list[tuple[int, int, int, int]]) -> None:
    start, duration, pitch, velocity = np.array(sorted(notes), np.int64).T
    rows = octuple_rows(start, duration, pitch, velocity)
    np.testing.assert_array_equal((rows[:, 5] - 4) * 384 + rows[:, 4] - 4, start)
    np.testing.assert_array_equal(rows[:, 2] - 3, duration)
    np.testing.assert_array_equal(rows[:, 0] + 17, pitch)
    np.testing.assert_array_equal((rows[:, 1] - 4) * 2, velocity // 2 * 2)
    np.testing.assert_array_equal(rows[1:, 3] - 388, np.minimum(np.diff(start), 383))
    seconds = Notes.of(start / 192, (start + duration) / 192, pitch, velocity)
    assert sorted(rows_of(seconds, "direct").T[[0, 2, 4, 5]].T.tolist()) == sorted(rows[:, [0, 2, 4, 5]].tolist())


def test_an_hour_of_music_takes_well_under_a_second() -> None:
    random = np.random.default_rng(0)
    onset = random.integers(0, 3600 * 440, 72_000)
    pitch, velocity = random.integers(21, 109, 72_000), random.integers(1, 128, 72_000)
    began = time.process_time()
    rows = rows_of_ticks(onset, random.integers(1, 2640, 72_000), pitch, velocity, 220)
    assert time.process_time() - began < 0.5
    assert rows.shape == (72_000, 6)
