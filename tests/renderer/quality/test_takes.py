"""A poor segment is rendered again with noise of its own, and the best rendering is kept, whatever else goes on."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from renderer import Renderer, RenderRequest, Sampling
from renderer.audio.audio_file import FloatSamples
from renderer.decoding.model_input import model_input
from renderer.decoding.sampling import noise_key
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.quality.quality import QualityThresholds
from renderer.quality.takes import Retakes, Take, Takes, segment_quality
from renderer.segments import Segment
from tests.renderer.tones import melody, played

RATE, FRAME = 32_000, 640
UNREACHABLE = QualityThresholds(notes_found=1.0, attacks_explained=1.0)
NOTES = melody(3, 4.0)
SEGMENT = Segment(0, 0, 0, 200, 200, NOTES)


def take(audio: FloatSamples, number: int = 0) -> Take:
    return Take(np.full((200, 1), number), audio)


def noise(seed: int) -> FloatSamples:
    return np.random.default_rng(seed).normal(0, 0.1, 200 * FRAME).astype(np.float32)


def test_a_good_take_ends_a_trial_and_is_kept() -> None:
    takes = Takes(SEGMENT, Retakes(3))
    takes.add(take(noise(0), 0), RATE, 5)
    assert not takes.is_over
    takes.add(take(played(NOTES, 4.0), 1), RATE, 5)
    assert takes.is_over and takes.count == 2 and takes.best.codes[0, 0] == 1


def test_fewest_faults_come_before_the_highest_score_and_the_first_of_equals_is_kept() -> None:
    clean = played(NOTES, 4.0)
    half = played(NOTES.selected(np.arange(len(NOTES)) % 2 == 0), 4.0)
    takes = Takes(SEGMENT, Retakes(4, QualityThresholds(clipped=1e-4, notes_found=0.95)))
    takes.add(take(np.clip(30 * half, -2, 2), 0), RATE, 5)  # Two faults.
    takes.add(take(half, 1), RATE, 5)  # One fault.
    takes.add(take(half.copy(), 2), RATE, 5)
    takes.add(take(30 * clean, 3), RATE, 5)  # One fault, and it plays its notes better.
    assert takes.is_over and takes.best.codes[0, 0] == 3
    takes = Takes(SEGMENT, Retakes(2, QualityThresholds(notes_found=0.95)))
    takes.add(take(half, 1), RATE, 5)
    takes.add(take(half.copy(), 2), RATE, 5)
    assert takes.is_over and takes.best.codes[0, 0] == 1


def test_one_take_is_kept_unjudged() -> None:
    takes = Takes(SEGMENT, Retakes())
    takes.add(take(np.full(200 * FRAME, np.nan, np.float32)), RATE, 5)  # Judging it would raise.
    assert takes.is_over


def test_a_segment_is_judged_by_what_will_be_heard_of_it() -> None:
    whole = melody(5, 8.0)
    later = Segment(1, 100, 150, 300, 310, whole.clipped(2.0, 6.2).shifted(-2.0))
    audio = played(whole, 8.0)[100 * FRAME : 310 * FRAME].copy()
    quality = segment_quality(later, take(audio), RATE, 5)
    assert quality is not None and quality.notes_found > 0.9 and quality.length_error == 0
    audio[: 45 * FRAME] = 0.9  # The pre-roll before the cross-fade, and the post-roll, are not heard.
    audio[200 * FRAME :] = 0.9
    assert repr(segment_quality(later, take(audio), RATE, 5)) == repr(quality)
    for end in (0.5, 4.0):  # A note of the pre-roll, which in the segment itself is over, or dies away.
        rest = Segment(1, 100, 150, 300, 310, Notes.of([0.1], [end], [60], [64]))
        assert segment_quality(rest, take(audio), RATE, 5) is None


def test_no_takes_make_no_sense() -> None:
    with pytest.raises(ValueError, match="most is 0"):
        Retakes(0)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load("mini", device="cpu", batch_size=3)


def request(renderer: Renderer, number: int, seconds: float, retakes: Retakes) -> RenderRequest:
    performance = Performance(melody(number, seconds), NoteReport())
    return RenderRequest(str(number), performance, renderer.prompt("salamander-close"), number, retakes=retakes)


def test_what_is_kept_does_not_depend_on_what_is_rendered_beside_it(renderer: Renderer) -> None:
    requests = [request(renderer, n, s, Retakes(2, UNREACHABLE)) for n, s in enumerate([1.0, 11.0, 1.3])]
    together = {r.item_id: r for r in renderer.render(requests)}
    backwards = {r.item_id: r for r in renderer.render(requests[::-1])}
    alone = {r.item_id: r for each in requests for r in renderer.render([each])}
    for item_id, rendering in together.items():
        assert rendering.samples.tobytes() == backwards[item_id].samples.tobytes() == alone[item_id].samples.tobytes()
        assert rendering.segments_retried == alone[item_id].segments_retried == rendering.segments
    assert together["1"].segments == len(together["1"].joints) + 1 > 1


def test_a_poor_segment_is_replaced_by_the_best_of_its_takes(renderer: Renderer) -> None:
    replaced = [_best_of_takes(renderer, seed) > 0 for seed in range(1, 6)]
    assert any(replaced) and not all(replaced)


def _best_of_takes(renderer: Renderer, seed: int) -> int:
    """The number of the best of four takes, checked to be what a rendering keeps."""
    asked = request(renderer, seed, 2.0, Retakes(4, UNREACHABLE))
    (once,) = renderer.render([request(renderer, seed, 2.0, Retakes())], tail=0.0)
    (kept,) = renderer.render([asked], tail=0.0)
    frames = -(-len(kept.samples) // FRAME)
    segment = Segment(0, 0, 0, frames, frames, asked.performance.notes)
    model, grid = renderer.model_config, renderer.description.time_grid
    work = model_input(segment, asked.prompt, asked.seed, model, 50, grid)
    scores, takes = [], []
    for number in range(4):
        again = type(work)(work.rows, work.positions, work.prompt, work.frames, noise_key(seed, 0, number))
        ((_, codes),) = renderer.engine.generate([again], Sampling())
        with torch.inference_mode():
            audio = renderer.codec.decode(codes.T[None], notes=[asked.performance.notes])[0].numpy()
        quality = segment_quality(segment, take(audio), RATE, 5)
        assert quality is not None
        scores.append((-len(UNREACHABLE.faults(quality)), quality.score))
        takes.append(codes.T.numpy())
    best = scores.index(max(scores))
    assert kept.codes is not None and once.codes is not None
    assert np.array_equal(kept.codes, takes[best]) and np.array_equal(once.codes, takes[0])
    assert kept.segments_retried == 1 and once.segments_retried == 0
    return best


def test_good_segments_are_rendered_once(renderer: Renderer) -> None:
    lax = QualityThresholds(level=-300, silence=99, notes_found=0, attacks_explained=0, clipped=1)
    (once,) = renderer.render([request(renderer, 0, 1.5, Retakes())])
    (judged,) = renderer.render([request(renderer, 0, 1.5, Retakes(3, lax))])
    assert judged.segments_retried == 0 and judged.samples.tobytes() == once.samples.tobytes()


def test_segments_that_are_rendered_again_fill_slots_that_others_leave(renderer: Renderer) -> None:
    pulled = []

    def requests() -> Iterator[RenderRequest]:
        for number in range(6):
            pulled.append(number)
            yield request(renderer, number, 1.2, Retakes(3, UNREACHABLE))

    before = renderer.occupancy
    renderings = renderer.render(requests(), tail=0.0)
    next(renderings)
    assert len(pulled) <= 4  # What is to be rendered again goes first.
    assert len(list(renderings)) == 5
    assert renderer.occupancy.since(before).share > 0.9
