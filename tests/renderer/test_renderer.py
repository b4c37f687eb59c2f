"""Whole performances with the bundled model: labels match the audio, and nothing but the request decides it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from renderer import PromptError, Renderer, RenderRequest, Sampling
from renderer.decoding.model_input import model_input
from renderer.device import has_fbgemm
from renderer.equalizer import BANDS, Equalizer, band_shares
from renderer.midi.midi_file import read_midi, write_midi
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.model.midi_valle import ModelConfig
from renderer.prompt import prompt_from_audio
from renderer.segments import Segment, plan_segments
from renderer.weights.checkpoint import find_model

GOLDEN = Path(__file__).parent.parent / "fixtures" / "golden"
RATE = 32_000


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load("mini", device="cpu", batch_size=4)


def performance(seconds: float, seed: int = 0) -> Performance:
    random = np.random.default_rng(seed)
    onset = random.uniform(0, seconds - 0.15, max(1, int(4 * seconds)))
    notes = Notes.of(onset, onset + 0.15, random.integers(40, 90, len(onset)), random.integers(40, 100, len(onset)))
    return Performance(notes, NoteReport())


def prompt_files(prompt_id: str) -> tuple[Path, Path]:
    folder = find_model("mini").folder / "prompts"
    return folder / f"{prompt_id}.wav", folder / f"{prompt_id}.mid"


def test_one_file_and_a_prompt_are_enough(renderer: Renderer, tmp_path: Path) -> None:
    rendering = renderer.render_file(GOLDEN / "golden.mid", "salamander-close")
    rendering.write(tmp_path / "piece.flac")
    audio, rate = soundfile.read(tmp_path / "piece.flac", dtype="float32")
    assert rate == rendering.sample_rate == RATE
    assert len(audio) == len(rendering.samples) == round((rendering.notes.end + 1.0) * RATE)
    assert np.abs(audio - rendering.samples).max() <= 2**-15
    assert 0.01 < np.abs(audio).max() < 1.0


@pytest.mark.parametrize(("seconds", "tail"), [(0.2, 0.0), (0.2, 0.013), (1.987, 0.5), (6.5, 1.0)])
def test_audio_is_exactly_as_long_as_the_notes_and_the_tail(renderer: Renderer, seconds: float, tail: float) -> None:
    asked = performance(seconds)
    request = RenderRequest("x", asked, renderer.prompt("splendid-chamber"))
    (rendering,) = renderer.render([request], tail=tail)
    assert len(rendering.samples) == round((asked.notes.end + tail) * RATE)
    assert rendering.samples.dtype == np.float32 and np.isfinite(rendering.samples).all()
    assert rendering.notes is asked.notes


def test_what_is_rendered_beside_it_does_not_change_a_sample(renderer: Renderer) -> None:
    prompt = renderer.prompt("salamander-close")
    requests = [RenderRequest(str(i), performance(s, i), prompt, seed=i) for i, s in enumerate([0.6, 6.0, 1.1])]
    together = {r.item_id: r.samples.tobytes() for r in renderer.render(requests)}
    backwards = {r.item_id: r.samples.tobytes() for r in renderer.render(requests[::-1])}
    alone = {r.item_id: r.samples.tobytes() for request in requests for r in renderer.render([request])}
    assert together == backwards == alone


def test_the_codec_is_conditioned_on_each_segments_own_part_of_the_notes(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = performance(24.0)
    given: list[tuple[int, Notes]] = []
    decode = renderer.codec.decode

    def listen(codes: torch.Tensor, lengths: torch.Tensor, notes: list[Notes]) -> torch.Tensor:
        given.extend(zip(lengths.tolist(), notes, strict=True))
        return decode(codes, lengths, notes)

    monkeypatch.setattr(renderer.codec, "decode", listen)
    list(renderer.render([RenderRequest("x", asked, renderer.prompt("splendid-chamber"))]))
    frames = -(-round((asked.notes.end + 1) * RATE) // 640)
    segments = list(plan_segments(asked.notes, frames, 50, renderer.limits))
    assert len(segments) == len(given) > 2
    heard = {len(notes): (length, notes) for length, notes in given}
    for segment in segments:
        start, stop = segment.start / 50, segment.stop / 50
        inside = (asked.notes.onset >= start) & (asked.notes.onset < stop)
        found = [
            (length, notes)
            for length, notes in heard.values()
            if np.isclose(notes.onset[:, None] + start, asked.notes.onset[inside], atol=1e-9).any(0).all()
        ]
        assert [length for length, _ in found] == [segment.frames]
        # What was struck before the segment is given with its own velocity and as struck before it.
        notes = found[0][1]
        assert (notes.offset > -2).all() and set(notes.velocity) <= set(asked.notes.velocity)
        assert segment.start == 0 or (notes.onset < 0).any()


def test_seed_and_prompt_decide_the_sound(renderer: Renderer) -> None:
    asked = performance(0.5)
    plain, soft = renderer.prompt("salamander-close"), renderer.prompt("splendid-chamber")
    requests = [
        RenderRequest("a", asked, plain, 1),
        RenderRequest("b", asked, plain, 2),
        RenderRequest("c", asked, soft, 1),
    ]
    sounds = {r.item_id: r.samples for r in renderer.render(requests)}
    assert not np.array_equal(sounds["a"], sounds["b"])
    assert not np.array_equal(sounds["a"], sounds["c"])


def test_requests_are_pulled_only_as_there_is_room(renderer: Renderer) -> None:
    pulled = []

    def requests() -> Iterator[RenderRequest]:
        for index in range(12):
            pulled.append(index)
            yield RenderRequest(str(index), performance(0.3, index), renderer.prompt("salamander-close"))

    renderings = renderer.render(requests(), tail=0.0)
    next(renderings)
    assert len(pulled) <= 5


def test_requests_that_come_while_others_are_under_way_join_them(renderer: Renderer) -> None:
    def request(item_id: str, seconds: float) -> RenderRequest:
        return RenderRequest(item_id, performance(seconds), renderer.prompt("salamander-close"), tail=0.0)

    finished: list[str] = []
    renderer.clear()
    renderer.add(request("1", 0.5))
    renderer.add(request("2", 1.5))
    while "1" not in finished:
        finished += [rendering.item_id for rendering in renderer.step()]
    renderer.add(request("3", 1.5))
    renderer.add(request("4", 1.5))
    before = renderer.occupancy
    renderer.step()
    assert renderer.occupancy.since(before).filled == 3
    rest: dict[str, bytes] = {}
    while not renderer.is_idle:
        rest.update((rendering.item_id, rendering.samples.tobytes()) for rendering in renderer.step())
    assert list(rest) == ["2", "3", "4"]
    (alone,) = renderer.render([request("4", 1.5)])
    assert rest["4"] == alone.samples.tobytes()


def test_there_is_room_until_every_slot_has_a_segment(renderer: Renderer) -> None:
    renderer.clear()
    prompt = renderer.prompt("salamander-close")
    assert renderer.room == 4 and renderer.is_idle
    renderer.add(RenderRequest("short", performance(1.0), prompt))
    assert renderer.room == 3 and not renderer.is_idle
    renderer.add(RenderRequest("long", performance(60.0), prompt))
    assert renderer.room == 0
    renderer.step()
    assert renderer.room == 0
    renderer.clear()
    assert renderer.room == 4 and renderer.is_idle and renderer.progress() == {}


def test_after_an_error_nothing_is_under_way_and_what_follows_is_as_ever(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = RenderRequest("x", performance(1.0), renderer.prompt("salamander-close"))
    (expected,) = renderer.render([request])
    for owner, name in ((renderer.codec, "decode"), (renderer.engine.runner, "decode")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                list(renderer.render([request]))
        assert renderer.is_idle and renderer.room == 4
        (found,) = renderer.render([request])
        assert found.samples.tobytes() == expected.samples.tobytes()


def test_progress_counts_all_audio_once_although_segments_overlap(renderer: Renderer) -> None:
    seen: dict[str, list[float]] = {"short": [], "long": []}
    renderer.clear()
    for name, seconds in (("short", 2.0), ("long", 12.0)):
        renderer.add(RenderRequest(name, performance(seconds), renderer.prompt("salamander-close")))
    while not renderer.is_idle:
        for rendering in renderer.step():
            assert len(seen[rendering.item_id]) > 50
            assert seen[rendering.item_id][-1] == pytest.approx(len(rendering.samples) / RATE, abs=0.05)
        for item_id, generated in renderer.progress().items():
            seen[item_id].append(generated)
    assert all(generated == sorted(generated) for generated in seen.values())


def test_an_unknown_prompt_is_refused_by_name(renderer: Renderer) -> None:
    with pytest.raises(
        PromptError, match=r"no prompt 'steinway'.*salamander-close, salamander-hall, splendid-chamber, splendid-close"
    ):
        renderer.prompt("steinway")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_every_precision_renders_the_same_length_at_about_the_same_level(renderer: Renderer, precision: str) -> None:
    if precision == "fp16" and not has_fbgemm():
        pytest.skip("needs FBGEMM: x86 with AVX2")
    request = RenderRequest("x", performance(1.5), renderer.prompt("salamander-close"))
    (exact,) = Renderer.load("mini", device="cpu", precision="fp32", batch_size=4).render([request])
    (rounded,) = Renderer.load("mini", device="cpu", precision=precision, batch_size=4).render([request])
    assert len(rounded.samples) == len(exact.samples)
    ratio = np.sqrt(np.mean(rounded.samples**2) / np.mean(exact.samples**2))
    assert 0.3 < ratio < 3


def test_golden_segment_is_conditioned_as_the_golden_file_says(renderer: Renderer, tmp_path: Path) -> None:
    """Rows and positions of the golden segment, but for one note that it strikes while its key sounds."""
    notes = read_midi(GOLDEN / "golden.mid", "extend").notes
    segment = Segment(0, 0, 0, 100, 100, notes)
    made = model_input(segment, renderer.prompt("salamander-close"), 0, renderer.model_config, 50, "direct")
    with np.load(GOLDEN / "golden.npz") as golden:
        assert np.sum(made.rows.numpy() != golden["midi_rows"]) <= 1
        assert np.abs(made.positions.numpy() - golden["positions"]).max() <= 1e-3
        assert torch.equal(made.prompt, torch.from_numpy(golden["prompt_codes"]))


def test_index_positions_count_rows_and_onset_positions_share_the_clock_of_the_audio(renderer: Renderer) -> None:
    segment = Segment(0, 0, 0, 100, 100, Notes.of([0.5, 1.25], [1.0, 1.5], [60, 64], [70, 70]))
    prompt = renderer.prompt("salamander-close")
    index = model_input(segment, prompt, 0, ModelConfig(), 50, "published").positions
    onset = model_input(segment, prompt, 0, ModelConfig(note_position="onset"), 50, "direct").positions
    assert index.tolist() == list(range(len(prompt.notes) + 4))
    assert onset[[0, -1]].tolist() == [0.0, 0.0]
    assert onset[-3:-1].tolist() == [175.0, 212.5]


def test_rendered_notes_written_as_midi_read_back_on_the_same_clock(renderer: Renderer, tmp_path: Path) -> None:
    request = RenderRequest("x", performance(3.0), renderer.prompt("salamander-close"))
    (rendering,) = renderer.render([request])
    write_midi(rendering.notes, tmp_path / "x.mid")
    again = read_midi(tmp_path / "x.mid", "ignore").notes
    assert np.abs(again.onset - rendering.notes.onset).max() < 0.0006
    assert again.pitch.tolist() == rendering.notes.pitch.tolist()


def test_codes_are_each_segments_own_frames_one_after_the_other(renderer: Renderer) -> None:
    request = RenderRequest("x", performance(11.0), renderer.prompt("salamander-close"))
    (rendering,) = renderer.render([request])
    frame_samples = RATE // renderer.codec.frame_rate
    frames = -(-len(rendering.samples) // frame_samples)
    segments = list(plan_segments(request.performance.notes, frames, renderer.codec.frame_rate, renderer.limits))
    assert len(segments) == rendering.segments > 1
    assert rendering.codes is not None and rendering.codes.shape == (renderer.codec.codebooks, frames)
    expected = np.zeros_like(rendering.codes)
    for segment in segments:
        work = model_input(
            segment,
            request.prompt,
            request.seed,
            renderer.model_config,
            renderer.codec.frame_rate,
            renderer.description.time_grid,
        )
        ((_, codes),) = renderer.engine.generate([work], Sampling())
        own = codes[segment.keep - segment.start : segment.end - segment.start]
        expected[:, segment.keep : segment.end] = own.T.numpy()
    assert np.array_equal(rendering.codes, expected)


def test_the_codes_of_one_segment_decode_to_its_audio(renderer: Renderer) -> None:
    request = RenderRequest("x", performance(2.0), renderer.prompt("salamander-close"))
    (rendering,) = renderer.render([request])
    assert rendering.segments == 1 and rendering.codes is not None
    with torch.inference_mode():
        codes = torch.from_numpy(rendering.codes.astype(np.int64))[None]
        (audio,) = renderer.codec.decode(codes, notes=[rendering.notes])
    samples = rendering.equalizer.apply(audio.numpy()[: len(rendering.samples)], RATE)
    assert np.array_equal(samples, rendering.samples)


def test_a_prompt_is_heard_once_and_what_it_tells_is_put_on_all_that_is_played_with_it(renderer: Renderer) -> None:
    prompt = renderer.prompt_from_files(*prompt_files("splendid-close"))
    requests = [RenderRequest(str(i), performance(1.5, i), prompt, seed=i) for i in range(3)]
    renderer.clear()
    for request in requests:
        renderer.add(request)
    seen: set[str] = set()
    renderings = []
    while not renderer.is_idle:
        renderings += renderer.step()
        seen |= set(renderer.progress())
    assert seen == {"0", "1", "2"}
    (equalizer,) = {rendering.equalizer for rendering in renderings}
    assert len(equalizer.gains_db) == BANDS and max(map(abs, equalizer.gains_db)) > 1
    plain = Renderer.load(replace(renderer.description, match_prompt=False), device="cpu", batch_size=4)
    for before in plain.render(requests):
        after = next(each for each in renderings if each.item_id == before.item_id)
        assert before.equalizer == Equalizer()
        np.testing.assert_array_equal(equalizer.apply(before.samples, RATE), after.samples)
        np.testing.assert_array_equal(before.codes, after.codes)


def test_a_model_comes_nearer_to_the_spectrum_of_a_piano_that_it_has_never_heard(renderer: Renderer) -> None:
    """A prompt like one of its own, but 20 dB brighter at the top: what is played with it is brighter, too."""
    audio, midi = prompt_files("splendid-close")
    samples, _ = soundfile.read(audio, dtype="float32")
    tilted = Equalizer(tuple(np.linspace(-10, 10, BANDS))).apply(samples, RATE)
    notes = read_midi(midi).notes
    shares = []
    for which in (samples, 0.5 * tilted / np.abs(tilted).max()):
        prompt = prompt_from_audio("x", which.astype(np.float32), notes, renderer.codec)
        (rendering,) = renderer.render([RenderRequest("x", performance(4.0), prompt)])
        shares.append(band_shares(rendering.samples, RATE))
    assert 12 < np.subtract(*(10 * np.log10(share[30] / share[5]) for share in shares[::-1])) < 28
