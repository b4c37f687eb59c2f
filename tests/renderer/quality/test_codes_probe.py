"""Codes tell what is struck, and a probe whether they do; audio of a codec that is told the notes does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from renderer import Renderer, Rendering, RenderRequest
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Excerpt, IntArray, Notes
from renderer.model.midi_valle import MidiValle
from renderer.quality import codes_probe
from renderer.quality.codes_probe import FEWEST_STRIKES, CodesProbe, strikes
from renderer.quality.quality import QualityThresholds
from renderer.quality.takes import Retakes, Take, Takes
from renderer.segments import Segment
from renderer.training.probe_fitting import ProbeFitting
from renderer.weights.checkpoint import find_model, load_codec
from tests.renderer.tones import played

MIDI = Path(__file__).parents[3] / "examples/midi/joplin-the-entertainer.mid"
FRAME_RATE = 50


def made_up(notes: Notes, frames: int, seed: int) -> IntArray:
    """Codes (frames, 2) of which the first book names the key that is struck, and the second means nothing."""
    rng = np.random.default_rng(seed)
    codes = np.stack([np.zeros(frames, np.int64), rng.integers(0, 128, frames)], axis=1)
    codes[np.floor(notes.onset * FRAME_RATE).astype(int), 0] = notes.pitch
    return codes


def tune(seed: int, count: int = 40) -> Notes:
    rng = np.random.default_rng(seed)
    onset = 0.1 + 0.2 * np.arange(count)
    return Notes.of(onset, onset + 0.15, rng.integers(48, 60, count), np.full(count, 64))


@pytest.fixture(scope="module")
def probe() -> CodesProbe:
    fitting = ProbeFitting(np.random.default_rng(0).normal(0, 1, (2, 128, 64)).astype(np.float32), FRAME_RATE)
    for seed in range(20):
        fitting.add(made_up(tune(seed), 420, seed), tune(seed))
    return fitting.probe()


def test_codes_are_matched_with_their_own_notes_and_no_others(probe: CodesProbe) -> None:
    notes = tune(100)
    codes = made_up(notes, 420, 100)
    assert probe.match(codes, notes) > 0.8
    assert probe.match(codes, tune(101)) < 0.3
    assert probe.match(np.roll(codes, 5, axis=0), notes) < 0.3
    assert probe.match(np.random.default_rng(1).permutation(codes), notes) < 0.3


def test_the_match_is_the_average_precision(probe: CodesProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tune(100)
    codes = made_up(notes, 420, 100)
    codes[::2, 0] = 0
    order = np.argsort(-probe.struck(codes).ravel(), kind="stable")
    hits = strikes(notes, 420, FRAME_RATE).ravel()[order]
    expected = (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()
    whole = probe.match(codes, notes)
    assert whole == pytest.approx(expected, abs=0.01)
    monkeypatch.setattr(codes_probe, "_FRAMES_AT_ONCE", 32)
    assert probe.match(codes, notes) == pytest.approx(whole, abs=1e-3)  # Sums may be rounded otherwise.


def test_of_a_few_notes_and_those_struck_before_or_after_nothing_is_said(probe: CodesProbe) -> None:
    codes = made_up(tune(100), 420, 100)
    assert np.isnan(probe.match(codes, tune(100, FEWEST_STRIKES - 1)))
    assert not np.isnan(probe.match(codes, tune(100, FEWEST_STRIKES)))
    assert np.isnan(probe.match(codes, tune(100).shifted(-9.0)))
    assert np.isnan(probe.match(codes, tune(100).shifted(9.0)))
    assert np.isnan(probe.match(codes, Notes.none()))


def test_of_two_takes_that_sound_alike_the_one_whose_codes_match_is_kept(probe: CodesProbe) -> None:
    notes = tune(100, 18)
    segment = Segment(0, 0, 0, 200, 200, notes)
    audio = played(notes, 4.0)
    good = made_up(notes, 200, 1)
    for first, second, kept in ((0 * good, good, good), (good, 0 * good, good)):
        takes = Takes(segment, Retakes(2), probe)
        takes.add(Take(first, audio), 32_000, 5)
        if not takes.is_over:
            takes.add(Take(second, audio), 32_000, 5)
        assert np.array_equal(takes.best.codes, kept)


def rendered(renderer: Renderer) -> Rendering:
    performance = read_midi(MIDI).excerpt(Excerpt(start=8.0, end=14.0))
    (rendering,) = renderer.render([RenderRequest("a", performance, renderer.prompt("salamander-close"))])
    return rendering


def test_the_bundled_model_is_good_and_one_that_was_never_trained_is_poor_though_its_notes_are_heard() -> None:
    mini, renderer = find_model("mini"), Renderer.load("mini", device="cpu")
    good = rendered(renderer)
    assert QualityThresholds().faults(good.quality()) == ()
    torch.manual_seed(0)
    untrained = MidiValle(mini.model).eval().requires_grad_(False)
    codec = load_codec(mini).for_inference()
    poor = rendered(Renderer(mini, untrained, codec, 1, torch.float32, probe=renderer.probe)).quality()
    assert poor.notes_found > 0.45
    assert "codes_match" in QualityThresholds().faults(poor)
    assert np.isnan(replace(good, probe=None).quality().codes_match)
