"""The same renderer on a GPU: exact lengths, codes that do not depend on company, logits close to the CPU's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from renderer import Renderer, RenderRequest
from renderer.decoding.captured_step import CapturedStep, capture_on
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.model.attention import PrefixAttention
from renderer.model.varlen import Spans, choose_varlen
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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_renderings_do_not_depend_on_company_and_have_exact_lengths(precision: str) -> None:
    renderer = Renderer.load("mini", device="cuda", precision=precision, batch_size=8)
    prompt = renderer.prompt("salamander-close")
    requests = [RenderRequest(str(i), performance(s, i), prompt, seed=i) for i, s in enumerate([1.0, 9.0, 4.0, 2.5])]
    together = {r.item_id: r for r in renderer.render(requests)}
    for request in requests:
        (alone,) = renderer.render([request])
        assert len(alone.samples) == round((request.performance.notes.end + 1.0) * alone.sample_rate)
        assert alone.samples.tobytes() == together[request.item_id].samples.tobytes()


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
