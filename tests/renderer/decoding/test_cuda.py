"""The same renderer on a GPU: exact lengths, codes that do not depend on company, logits close to the CPU's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from jobs.bench.network import random_segment
from jobs.bench.steady import random_request, renderer_of
from renderer import Renderer, RenderRequest
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.decoding.captured_step import CapturedStep, capture_on
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import make_runner
from renderer.decoding.runners.packed_runner import PackedRunner
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.decoding.sampling import Sampling
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.model.attention import PrefixAttention
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.varlen import Spans, choose_varlen
from renderer.prompt import Prompt
from renderer.weights.checkpoint import find_model, load_model

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "golden.npz"

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def performance(seconds: float, seed: int) -> Performance:
    random = np.random.default_rng(seed)
    onset = random.uniform(0, seconds - 0.2, int(6 * seconds))
    notes = Notes.of(onset, onset + 0.2, random.integers(36, 96, len(onset)), random.integers(30, 110, len(onset)))
    return Performance(notes, NoteReport())


def golden_prompt() -> Prompt:
    """Out of the golden file: to read a recording takes more than a machine with a GPU may have."""
    with np.load(GOLDEN) as file:
        codes = torch.from_numpy(file["prompt_codes"])
    return Prompt("golden", codes, Notes.of([0.5, 1.5], [1.0, 2.5], [60, 67], [70, 80]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_renderings_do_not_depend_on_company_and_have_exact_lengths(precision: str) -> None:
    renderer = Renderer.load("mini", device="cuda", precision=precision, batch_size=8)
    prompt = golden_prompt()
    requests = [RenderRequest(str(i), performance(s, i), prompt, seed=i) for i, s in enumerate([1.0, 9.0, 4.0, 2.5])]
    together = {r.item_id: r for r in renderer.render(requests)}
    for request in requests:
        (alone,) = renderer.render([request])
        assert len(alone.samples) == round((request.performance.notes.end + 1.0) * alone.sample_rate)
        assert alone.samples.tobytes() == together[request.item_id].samples.tobytes()


@torch.inference_mode()
def test_codes_do_not_depend_on_slots_order_or_company_and_are_close_to_those_of_one_after_another() -> None:
    """At the published width: other kernels add up there than in small networks."""
    torch.manual_seed(0)
    model = MidiValle(ModelConfig(layers=2)).eval().requires_grad_(False).to("cuda", torch.bfloat16)
    sequences = [random_segment(index, 0.5 + 0.3 * index, model, 50).input for index in range(9)]

    def codes_of(some: list[ModelInput], slots: int) -> dict[ModelInput, torch.Tensor]:
        runner = make_runner(model, slots)
        assert isinstance(runner, PackedRunner)
        return dict(Engine(runner).generate(some, Sampling()))

    together = codes_of(sequences, 64)
    for some, slots in ((sequences[::-1], 64), (sequences[4:5], 64), (sequences, 32), (sequences, 2)):
        for sequence, codes in codes_of(some, slots).items():
            assert torch.equal(codes, together[sequence]), (slots, sequence.frames)
    greedy = Sampling(temperature=0)
    packed = dict(Engine(make_runner(model, 4)).generate(sequences, greedy))
    single = dict(Engine(SequentialRunner(model, 4)).generate(sequences, greedy))
    first = [int(packed[each][0, 0]) == int(single[each][0, 0]) for each in sequences]
    assert sum(first) > 6  # Sums in another order may turn a code that was as likely as its neighbour.


@torch.inference_mode()
def test_running_out_of_memory_halves_the_slots_and_changes_no_code() -> None:
    torch.manual_seed(0)
    model = MidiValle(ModelConfig(layers=2)).eval().requires_grad_(False).to("cuda", torch.bfloat16)
    sequences = [random_segment(index, 0.5, model, 50).input for index in range(12)]
    clean = dict(Engine(make_runner(model, 8)).generate(sequences, Sampling()))
    runner = make_runner(model, 8)
    decode, calls = runner.decode, iter(range(1000))

    def decode_once_without_memory(lengths: Sequence[int], sampling: Sampling) -> None:
        if next(calls) == 1:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")
        decode(lengths, sampling)

    runner.decode = decode_once_without_memory  # type: ignore[method-assign]
    found = dict(Engine(runner).generate(sequences, Sampling()))
    assert runner.slots == 4
    assert all(torch.equal(codes, clean[each]) for each, codes in found.items()) and set(found) == set(clean)


def test_stages_and_codec_beside_the_steps_change_no_byte() -> None:
    pytest.importorskip("encodec")
    rendered = []
    for overlap in (False, True):
        torch.manual_seed(0)
        model = MidiValle(ModelConfig(layers=2, codebook_size=64)).eval().requires_grad_(False)
        codec = EncodecCodec(EncodecConfig(n_filters=16, codebook_size=64))
        renderer = renderer_of(model, codec, 5.0, "cuda", "bf16", 32, overlap)
        requests = [random_request(number, 5.0, renderer) for number in range(100)]
        rendered.append({each.item_id: each.samples.tobytes() for each in renderer.render(requests)})
    assert rendered[0] == rendered[1]


@torch.inference_mode()
def test_passes_never_wait_for_the_device() -> None:
    torch.manual_seed(0)
    model = MidiValle(ModelConfig(layers=2)).eval().requires_grad_(False).to("cuda", torch.bfloat16)
    admitted = [(index, random_segment(index, 0.5, model, 50).input) for index in range(4)]
    runner = make_runner(model, 4)
    for number in range(4):  # The first calls choose kernels and record the step.
        torch.cuda.set_sync_debug_mode("error" if number == 3 else "default")
        try:
            runner.prefill(admitted)
            runner.decode([0] * 4, Sampling())
            codes = runner.finish(admitted)
            runner.complete([Drawn(each, of) for (_, each), of in zip(admitted, codes, strict=True)])
        finally:
            torch.cuda.set_sync_debug_mode("default")


@torch.inference_mode()
def test_an_encodec_decodes_a_clip_alike_in_any_company() -> None:
    pytest.importorskip("encodec")
    torch.manual_seed(0)
    codec = EncodecCodec(EncodecConfig(n_filters=16, codebook_size=64)).for_inference().to("cuda", torch.float16)
    codes, lengths = torch.randint(64, (5, 4, 400), device="cuda"), torch.tensor([400, 90, 131, 132, 333])
    together = codec.decode(codes, lengths)
    assert torch.equal(codec.decode(codes.flip(0), lengths.flip(0)).flip(0), together)
    for row, frames in enumerate(lengths.tolist()):
        alone = codec.decode(codes[row : row + 1, :, :frames])[0]
        assert torch.equal(alone, together[row, : len(alone)])


@torch.inference_mode()
def test_a_captured_step_counts_as_an_uncaptured_one_does_and_follows_what_it_works_on() -> None:
    place = {"counts": torch.zeros(4, dtype=torch.int64, device="cuda")}

    def step(extents: tuple[int, ...]) -> None:
        place["counts"] += sum(extents)

    captured = CapturedStep(step, lambda: place.values(), (), capture_on(torch.device("cuda")))
    for extent in (1, 1, 1, 2, 2, 1):
        captured((extent,))
    assert place["counts"].tolist() == [8] * 4
    place["counts"] = torch.zeros(6, dtype=torch.int64, device="cuda")
    for _ in range(4):
        captured((5,))
    assert place["counts"].tolist() == [20] * 6


@pytest.mark.parametrize("width", [64, 128])
@torch.inference_mode()
def test_attention_to_slots_of_any_lengths_is_right_and_does_not_depend_on_company(width: int) -> None:
    device = torch.device("cuda")
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("torch's flash attention needs compute capability 8.0")
    kernel = choose_varlen(device, torch.bfloat16, width)
    assert kernel is not None
    keys, values = torch.randn(2, 8, 1280, 16, width, dtype=torch.bfloat16, device=device)
    query = torch.randn(8, 16, width, dtype=torch.bfloat16, device=device)
    lengths = torch.tensor([1, 1250, 350, 800, 64, 65, 1280, 700], dtype=torch.int32, device=device)
    slots = torch.arange(9, dtype=torch.int32, device=device)
    asking, asked = Spans(slots, 1), Spans(slots * 1280, 1280)
    packed = query, keys.flatten(0, 1), values.flatten(0, 1), asking, asked
    together = kernel.attend(*packed, lengths)
    for slot, length in enumerate(lengths.tolist()):
        others = torch.ones_like(lengths)
        others[slot] = length
        assert torch.equal(kernel.attend(*packed, others)[slot], together[slot])
        seen = (tensor[slot, :length].transpose(0, 1) for tensor in (keys, values))
        masked = scaled_dot_product_attention(query[slot, :, None], *seen)[:, 0]
        assert torch.allclose(together[slot], masked, atol=0.02)


@torch.inference_mode()
def test_fp32_logits_are_those_of_the_cpu() -> None:
    with np.load(GOLDEN) as file:
        rows, positions = torch.from_numpy(file["midi_rows"])[None], torch.from_numpy(file["positions"])[None]
        codes = torch.from_numpy(file["prompt_codes"])[None, :, 0]
    frame = torch.arange(codes.shape[1])[None].float()
    logits = {}
    for device in ("cpu", "cuda"):
        model = load_model(find_model("mini")).to(device)
        assert model.ar_roll is not None
        roll = model.ar_roll(rows[0].to(device), codes.shape[1])[None]
        midi = model.ar_midi(rows.to(device), positions.to(device))
        x = torch.cat([midi, model.ar_audio(codes.to(device), frame.to(device), roll)], dim=1)
        hidden = model.ar_decoder(x, model.ar_decoder.affines(), PrefixAttention(rows.shape[1]))
        logits[device] = model.ar_logits(hidden).cpu()
    assert (logits["cuda"] - logits["cpu"]).abs().max() <= 1e-2
