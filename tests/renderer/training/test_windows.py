"""A window is what inference would put together, and always the same for its number."""

from collections import Counter

import numpy as np
import pytest
import torch

from renderer.errors import TrainingError
from renderer.midi.notes import Notes
from renderer.segments import sounding
from renderer.training.windows import Windows, WindowSettings
from tests.renderer.training.clips import CONFIG, RATE, Clips, windows_of

PITCH, VELOCITY, DURATION, INTERVAL = range(4)


class Known(Clips):
    """Clip 0 is played: a note held over the cut at 4 s, and one struck at 4.01 s. Clip 1 prompts."""

    def __init__(self) -> None:
        super().__init__(2)
        self._notes[0] = Notes.of([2.0, 4.01, 5.0], [4.5, 9.0, 5.5], [50, 60, 62], [100, 90, 80])
        self._notes[1] = Notes.of([-0.5, 1.0, 2.5, 7.0], [1.0, 1.5, 6.0, 8.0], [40, 41, 42, 43], [70, 71, 72, 73])


class Cut(Windows):
    """Windows that begin where the test says."""

    def _prompt_begin(self, random: np.random.Generator, notes: Notes, frames: int) -> int:
        return 0

    def _segment_begin(self, random: np.random.Generator, notes: Notes, frames: int, wanted: int) -> int:
        return 4 * RATE


def cut(cross_prompt: float) -> Cut:
    clips = Known()
    settings = WindowSettings(longest=3.0, shortest=3.0, cross_prompt=cross_prompt)
    return Cut(clips, clips.frames, [0], settings, CONFIG, RATE, "direct", 0)


def test_prompted_by_another_piece_as_when_rendering() -> None:
    windows = cut(cross_prompt=1.0)
    window = windows.window(windows.plan(0))
    rows = window.rows.numpy()
    # The prompt's two notes that begin within it, cut at 3.000 s; then the segment's, the held one struck first.
    assert rows[1:-1, PITCH].tolist() == [41 - 17, 42 - 17, 50 - 17, 60 - 17, 62 - 17]
    assert (rows[1:-1, DURATION] - 3).tolist() == [96, 96, 96, 574, 96]
    softened = round(100 * np.exp(-2.0 / 2))
    assert (rows[1:-1, VELOCITY] - 4).tolist() == [v // 2 for v in (71, 72, softened, 90, 80)]
    # On the grid of 1/192 s the prompt's notes begin at 192 and 480, the segment's at 576, 578 and 768: the interval
    # runs on over the join.
    assert (rows[1:-1, INTERVAL] - 388).tolist() == [0, 288, 96, 2, 190]
    np.testing.assert_allclose(window.positions, [0, 50, 125, 150, 150.5, 200, 0], atol=1e-4)
    clips = windows.source
    assert torch.equal(window.codes[:150], torch.from_numpy(clips.codes(1)[:150]))
    assert torch.equal(window.codes[150:], torch.from_numpy(clips.codes(0)[200:350]))
    assert (len(window.codes), window.prompt_frames) == (300, 150)


def test_prompted_by_its_own_beginning() -> None:
    windows = cut(cross_prompt=0.0)
    window = windows.window(windows.plan(0))
    assert window.rows[1:-1, PITCH].tolist() == [50 - 17, 50 - 17, 60 - 17, 62 - 17]
    np.testing.assert_allclose(window.positions, [0, 100, 150, 200.5, 250, 0], atol=1e-4)
    assert torch.equal(window.codes, torch.from_numpy(windows.source.codes(0)[:300]))


def test_a_number_is_always_the_same_window_of_the_planned_length() -> None:
    clips = Clips()
    first, again, other = windows_of(clips), windows_of(clips), windows_of(clips, seed=1)
    for number in (3, 0, 17):
        plan = first.plan(number)
        a, b, c = (windows.window(windows.plan(number)) for windows in (first, again, other))
        assert torch.equal(a.rows, b.rows)
        assert torch.equal(a.codes, b.codes)
        assert len(a.codes) == 150 + plan.frames
        assert a.codes.shape != c.codes.shape or not torch.equal(a.codes, c.codes)


def test_clips_and_prompts_and_lengths_are_drawn_as_the_settings_say() -> None:
    windows = windows_of(Clips(5), longest_share=0.5, cross_prompt=0.75)
    plans = [windows.plan(number) for number in range(1000)]
    assert set(Counter(plan.clip for plan in plans).values()) == {200}
    assert all(plan.prompt != plan.clip for plan in plans)
    assert 0.7 < np.mean([plan.prompt is not None for plan in plans]) < 0.8
    lengths = np.array([plan.frames for plan in plans])
    assert 0.45 < np.mean(lengths == 150) < 0.55
    assert lengths.min() < 60
    assert 90 < lengths[lengths < 150].mean() < 110


def test_a_share_of_windows_comes_without_a_prompts_codes_and_is_else_the_same() -> None:
    with_all, with_some = windows_of(Clips()), windows_of(Clips(), drop_prompt=0.25)
    plans = [with_some.plan(number) for number in range(400)]
    assert 0.2 < np.mean([not plan.is_prompted for plan in plans]) < 0.3
    dropped = next(plan for plan in plans if not plan.is_prompted)
    window, whole = with_some.window(dropped), with_all.window(with_all.plan(dropped.number))
    assert (window.is_prompted, whole.is_prompted) == (False, True)
    assert torch.equal(window.rows, whole.rows)
    assert torch.equal(window.codes, whole.codes)


def test_segments_begin_where_less_sounds_than_elsewhere() -> None:
    clips = Clips()
    windows = windows_of(clips, cross_prompt=1.0)
    level = {index: sounding(clips.notes(index), clips.frames[index], RATE) for index in range(4)}
    at, anywhere = [], []
    for number in range(100):
        plan = windows.plan(number)
        codes = windows.window(plan).codes[150:].numpy()
        own = clips.codes(plan.clip)
        starts = [s for s in range(len(own) - len(codes) + 1) if np.array_equal(own[s : s + len(codes)], codes)]
        at.append(level[plan.clip][starts[0]])
        anywhere.append(level[plan.clip].mean())
    assert np.mean(at) < 0.8 * np.mean(anywhere)


def test_every_prompt_has_a_note_that_begins_in_it() -> None:
    clips = Clips(2)
    clips._notes[1] = Notes.of([11.0], [11.5], [60], [80])
    windows = windows_of(clips, cross_prompt=1.0)
    for number in range(20):
        plan = windows.plan(number)
        if plan.prompt == 1:
            assert windows.window(plan).rows[1, PITCH] == 60 - 17


def test_clips_that_are_too_short_are_left_out() -> None:
    clips = Clips(3)
    clips.frames[1] = 199
    assert windows_of(clips).clips == [0, 2]
    clips.frames = [199] * 3
    with pytest.raises(TrainingError, match=r"of 3 clips none has the 4 s of a prompt and a shortest segment"):
        windows_of(clips)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"segments of 4.0 to 3.0"):
        WindowSettings(longest=3.0, shortest=4.0)
    with pytest.raises(ValueError, match="cross_prompt is 2"):
        WindowSettings(cross_prompt=2.0)
