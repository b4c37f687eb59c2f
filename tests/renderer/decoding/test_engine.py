"""The engine's codes are the model's: those of the golden file, alone or in any company."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import renderer.decoding.runners.sequential_runner
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import make_runner
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.sampling import Sampling, noise_key
from renderer.device import BF16_IN_COMPANY, emulates_bf16, has_fbgemm, precision_named
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle
from renderer.weights.checkpoint import find_model, load_model

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "golden.npz"
GREEDY = Sampling(temperature=0)

needs_whole_bf16 = pytest.mark.skipif(emulates_bf16(), reason=f"this CPU has no bf16: {BF16_IN_COMPANY}")
needs_fbgemm = pytest.mark.skipif(not has_fbgemm(), reason="needs FBGEMM: x86 with AVX2")


@pytest.fixture(scope="module")
def mini() -> MidiValle:
    return load_model(find_model("mini"))


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def segments(golden: dict[str, torch.Tensor]) -> list[ModelInput]:
    """Segments of many lengths, made of the golden rows."""
    random = np.random.default_rng(5)
    made = []
    for index, frames in enumerate([1, 20, 33, 47, 64, 12, 40, 5, 28]):
        notes = int(random.integers(0, 80))
        rows = golden["midi_rows"][1:-1][torch.from_numpy(random.integers(0, 35, notes))]
        rows = torch.cat([golden["midi_rows"][:1], rows, golden["midi_rows"][-1:]])
        positions = torch.zeros(notes + 2)
        positions[1:-1] = torch.from_numpy(np.sort(random.uniform(0, 200, notes)))
        prompt = golden["prompt_codes"][: int(random.integers(1, 150))]
        made.append(ModelInput(rows, positions, prompt, frames, noise_key(9, index)))
    return made


def codes_of(
    model: MidiValle,
    segments: list[ModelInput],
    batch_size: int,
    sampling: Sampling,
    decoding: torch.dtype | None = None,
) -> dict[ModelInput, torch.Tensor]:
    return dict(Engine(make_runner(model, batch_size, decoding)).generate(segments, sampling))


def golden_segment(golden: dict[str, torch.Tensor]) -> ModelInput:
    return ModelInput(golden["midi_rows"], golden["positions"], golden["prompt_codes"], 40, 0)


def test_greedy_codes_are_the_golden_ones(mini: MidiValle, golden: dict[str, torch.Tensor]) -> None:
    segment = golden_segment(golden)
    assert torch.equal(codes_of(mini, [segment], 1, GREEDY)[segment], golden["greedy_codes"])


@torch.inference_mode()
def test_logits_are_the_golden_ones(mini: MidiValle, golden: dict[str, torch.Tensor]) -> None:
    rows, positions = golden["midi_rows"][None], golden["positions"][None]
    prompt, codes = golden["prompt_codes"], golden["greedy_codes"]
    frames = torch.cat([prompt, codes])[None]
    frame = torch.arange(frames.shape[1])[None].float()
    assert mini.ar_roll is not None and mini.nar_roll is not None
    of_ar, of_nar = (roll(rows[0], frames.shape[1])[None] for roll in (mini.ar_roll, mini.nar_roll))

    ar = torch.cat([mini.ar_midi(rows, positions), mini.ar_audio(frames[..., 0], frame, of_ar)], dim=1)
    hidden = mini.ar_decoder(ar, mini.ar_decoder.affines(), PrefixAttention(rows.shape[1]))
    first = rows.shape[1] + len(prompt) - 1
    assert (mini.ar_logits(hidden[0, first : first + 40]) - golden["ar_logits"]).abs().max() <= 1e-3

    for stage, affines in enumerate(mini.nar_affines()):
        audio = mini.nar_audio_position(mini.nar_audio(frames, len(prompt), stage, of_nar), frame)
        nar = torch.cat([mini.nar_midi(rows, positions), audio], dim=1)
        hidden = mini.nar_decoder(nar, affines, FullAttention())
        logits = mini.nar_logits(hidden[0, first + 1 :], stage)
        assert (logits - golden["nar_logits"][stage]).abs().max() <= 1e-3


@torch.inference_mode()
def test_bf16_logits_are_within_three_percent_of_fp32s(golden: dict[str, torch.Tensor]) -> None:
    rows, positions = golden["midi_rows"][None], golden["positions"][None]
    codes = torch.cat([golden["prompt_codes"], golden["greedy_codes"]])[None]
    frame = torch.arange(codes.shape[1])[None].float()
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(find_model("mini")).to(dtype)
        assert model.ar_roll is not None and model.nar_roll is not None
        of_ar, of_nar = (roll(rows[0], codes.shape[1])[None] for roll in (model.ar_roll, model.nar_roll))
        ar = torch.cat([model.ar_midi(rows, positions), model.ar_audio(codes[..., 0], frame, of_ar)], dim=1)
        hidden = model.ar_decoder(ar, model.ar_decoder.affines(), PrefixAttention(rows.shape[1]))
        logits = [model.ar_logits(hidden[0, rows.shape[1] :])]
        for stage, affines in enumerate(model.nar_affines()):
            audio = model.nar_audio_position(model.nar_audio(codes, 150, stage, of_nar), frame)
            nar = torch.cat([model.nar_midi(rows, positions), audio], dim=1)
            logits.append(model.nar_logits(model.nar_decoder(nar, affines, FullAttention())[0, -40:], stage))
        found.append(logits)
    for exact, rounded in zip(*found, strict=True):
        assert (rounded - exact).norm() <= 3e-2 * exact.norm()


@needs_fbgemm
def test_logits_of_decoding_in_fp16_are_within_a_few_thousandths(
    mini: MidiValle, golden: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of fp32's, the codes before being the same: far from bf16's three percent."""
    codes, logits = golden["greedy_codes"][:, 0], []

    def forced(found: torch.Tensor, sampling: Sampling, keys: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        logits.append(found[0])
        return codes[steps.clamp(max=len(codes) - 1)]

    monkeypatch.setattr(renderer.decoding.runners.sequential_runner, "draw", forced)
    codes_of(mini, [golden_segment(golden)], 4, GREEDY, torch.float16)
    exact = golden["ar_logits"][:, : mini.config.end_code]
    assert 1e-5 < (torch.stack(logits) - exact).norm() / exact.norm() <= 3e-3


def test_every_segment_gets_exactly_the_frames_it_wants_and_never_the_end_code(
    mini: MidiValle, segments: list[ModelInput]
) -> None:
    for segment, codes in codes_of(mini, segments, 4, Sampling()).items():
        assert codes.shape == (segment.frames, 4)
        assert codes.min() >= 0 and codes.max() < mini.config.end_code


@pytest.mark.parametrize(
    "precision",
    ["fp32", pytest.param("bf16", marks=needs_whole_bf16), pytest.param("fp16", marks=needs_fbgemm)],
)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.1, top_k=200, top_p=0.95)])
def test_codes_do_not_depend_on_batch_size_order_or_company(
    segments: list[ModelInput], precision: str, sampling: Sampling
) -> None:
    arithmetic, decoding = precision_named(precision)
    model = load_model(find_model("mini")).to(arithmetic)
    together = codes_of(model, segments, 4, sampling, decoding)
    for others, batch_size in ((segments, 1), (segments[::-1], 4), (segments[3:5], 4), (segments, 7), (segments, 16)):
        for segment, codes in codes_of(model, others, batch_size, sampling, decoding).items():
            assert torch.equal(codes, together[segment]), (batch_size, segment.frames)


@pytest.mark.parametrize("decoding", [torch.float32, pytest.param(torch.float16, marks=needs_fbgemm)])
def test_free_slots_are_computed_where_the_number_of_rows_might_change_a_sum(
    mini: MidiValle, segments: list[ModelInput], decoding: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    def counted(logits: torch.Tensor, *about: object) -> torch.Tensor:
        computed.append(len(logits))
        return logits.argmax(-1)

    monkeypatch.setattr(renderer.decoding.runners.sequential_runner, "draw", counted)
    engine = Engine(make_runner(mini, 4, decoding))
    for segment in segments:
        engine.add(segment)
    under_way: list[int] = []
    while not engine.is_idle:
        before = engine.occupancy
        engine.step(GREEDY)
        under_way.append(engine.occupancy.since(before).filled)
    assert set(under_way) == {1, 2, 3, 4}
    assert computed == (under_way if decoding == torch.float16 else [4] * len(under_way))


def test_another_seed_gives_other_codes(mini: MidiValle, golden: dict[str, torch.Tensor]) -> None:
    one = golden_segment(golden)
    other = ModelInput(one.rows, one.positions, one.prompt, one.frames, noise_key(1, 0))
    drawn = codes_of(mini, [one, other], 2, Sampling())
    assert not torch.equal(drawn[one][:, 0], drawn[other][:, 0])


def test_cached_steps_give_the_logits_of_the_whole_sequence(mini: MidiValle, golden: dict[str, torch.Tensor]) -> None:
    """Greedy codes by recomputing the whole prefix at every step, as published, equal the cached ones."""
    segment = ModelInput(golden["midi_rows"], golden["positions"], golden["prompt_codes"][:30], 12, 0)
    codes = segment.prompt[:, 0]
    assert mini.ar_roll is not None
    with torch.inference_mode():
        roll = mini.ar_roll(segment.rows, len(codes) + segment.frames)[None]
        for _ in range(segment.frames):
            midi = mini.ar_midi(segment.rows[None], segment.positions[None])
            audio = mini.ar_audio(codes[None], torch.arange(len(codes))[None].float(), roll[:, : len(codes)])
            x = torch.cat([midi, audio], dim=1)
            hidden = mini.ar_decoder(x, mini.ar_decoder.affines(), PrefixAttention(len(segment.rows)))
            logits = mini.ar_logits(hidden[0, -1])[: mini.config.end_code]
            codes = torch.cat([codes, logits.argmax()[None]])
    assert torch.equal(codes_of(mini, [segment], 3, GREEDY)[segment][:, 0], codes[30:])


def test_frames_are_counted_as_they_are_drawn(mini: MidiValle, segments: list[ModelInput]) -> None:
    engine = Engine(make_runner(mini, 4))
    for segment in segments[1:4]:
        engine.add(segment)
    for steps in range(1, 21):
        assert not engine.step(GREEDY) or steps == 20
        assert {each: count for each, count in engine.frames_drawn() if count < each.frames} == {
            segment: steps for segment in segments[1:4] if steps < segment.frames
        }


def test_what_is_dropped_leaves_no_trace(mini: MidiValle, segments: list[ModelInput]) -> None:
    undisturbed = codes_of(mini, segments[1:3], 4, GREEDY)
    engine = Engine(make_runner(mini, 4))
    for segment in segments:
        engine.add(segment)
    for _ in range(15):
        engine.step(GREEDY)
    engine.clear()
    assert engine.is_idle and engine.room == 4 and not list(engine.frames_drawn())
    for segment, codes in engine.generate(segments[1:3], GREEDY):
        assert torch.equal(codes, undisturbed[segment])


class CountingRunner:
    """Draws nothing, several steps at once; it writes down what it is asked for."""

    steps_at_once, prefills_at_once, completes_at_once, computes_free_slots = 4, 2, 3, True

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.calls: list[tuple[str, list[int]]] = []

    def reset(self, slots: int) -> None:
        self.slots = slots

    def prefill(self, admitted: Sequence[tuple[int, ModelInput]]) -> None:
        self.calls.append(("prefill", [sequence.key for _, sequence in admitted]))

    def move(self, source: int, target: int) -> None:
        raise AssertionError("free slots are computed: there is no need to close gaps")

    def decode(self, lengths: Sequence[int], sampling: Sampling) -> None:
        self.calls.append(("decode", list(lengths)))

    def finish(self, ended: Sequence[tuple[int, ModelInput]]) -> list[torch.Tensor]:
        return [torch.zeros(sequence.frames, dtype=torch.int64) for _, sequence in ended]

    def complete(self, drawn: Sequence[Drawn]) -> list[torch.Tensor]:
        self.calls.append(("complete", [sequence.key for sequence, _ in drawn]))
        return [codes[:, None].repeat(1, 4) for _, codes in drawn]


def test_a_runner_is_given_its_passes_in_the_sizes_that_it_asks_for() -> None:
    def sequence(key: int, frames: int) -> ModelInput:
        return ModelInput(torch.zeros(3, 6), torch.zeros(3), torch.zeros(2, 4), frames, key)

    runner = CountingRunner(3)
    frames = [2, 6, 7, 4, 4]
    done = list(Engine(runner).generate([sequence(key, count) for key, count in enumerate(frames)], GREEDY))
    assert runner.calls == [
        ("prefill", [0, 1, 2]),
        ("decode", [5, 5, 5]),
        ("decode", [0, 9, 9]),  # One free slot is not worth a prefill.
        ("complete", [0, 1, 2]),
        ("prefill", [3, 4]),
        ("decode", [5, 5, 0]),
        ("complete", [3, 4]),  # Fewer, as nothing else is left.
    ]
    assert [(sequence.key, tuple(codes.shape)) for sequence, codes in done] == [
        (key, (count, 4)) for key, count in enumerate(frames)
    ]
