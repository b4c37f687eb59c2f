"""The network is the published one: random weights by the fixture's recipe, outputs of the published code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from renderer.decoding.sampling import Sampling, keep_likely
from renderer.midi.notes import FloatArray
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle, ModelConfig

FIXTURES = Path(__file__).parents[2] / "fixtures"
END = 2048
Draw = Callable[[torch.Tensor], int]


@pytest.fixture(scope="module")
def small() -> dict[str, torch.Tensor]:
    with np.load(FIXTURES / "small.npz") as file:
        return {name: torch.from_numpy(np.array(file[name])) for name in file.files}


def published_model(small: dict[str, torch.Tensor], *, ends: bool = True) -> MidiValle:
    """The fixture's weights: a numpy recipe over the state dict's keys in sorted order."""
    width, heads, layers = small["config"].tolist()
    model = MidiValle(ModelConfig(d_model=width, heads=heads, layers=layers)).eval()
    random = np.random.RandomState(int(small["seed"]))
    weights = {}
    for key, old in sorted(model.state_dict().items()):
        if key in ("nar_predict_layers.0.weight", "nar_predict_layers.1.weight"):
            continue
        z = random.standard_normal(tuple(old.shape)).astype(np.float32).astype(np.float64)
        weights[key] = torch.from_numpy(recipe(key, z).astype(np.float32))
    weights["ar_predict_layer.weight"][END] = small["eos_row"] if ends else 0.0
    for stage in (0, 1):
        weights[f"nar_predict_layers.{stage}.weight"] = weights[
            f"nar_audio_embeddings.{stage + 2}.word_embeddings.weight"
        ]
    model.load_state_dict(weights)
    return model


def recipe(key: str, z: FloatArray) -> FloatArray:
    if key.endswith("alpha") or (z.ndim == 1 and key.endswith(".weight")):
        return 1 + 0.1 * z
    if key.endswith("project_layer.bias"):
        bias = 0.1 * z
        bias[: len(bias) // 2] += 1
        return bias
    if z.ndim == 1:
        return 0.1 * z
    if "word_embeddings" in key or key == "nar_predict_layers.2.weight":
        return z
    if key == "ar_predict_layer.weight":
        return 0.5 * z
    scale = 0.3 if key.endswith("project_layer.weight") else 1.0
    return z * scale / np.sqrt(z.shape[1])


def ar_logits(model: MidiValle, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    midi = model.ar_midi(rows[None], torch.arange(len(rows))[None].float())
    audio = model.ar_audio(codes[None], torch.arange(len(codes))[None].float())
    x = torch.cat([midi, audio], dim=1)
    hidden = model.ar_decoder(x, model.ar_decoder.affines(), PrefixAttention(len(rows)))
    return model.ar_logits(hidden[0, len(rows) :])


def nar_stages(
    model: MidiValle, rows: torch.Tensor, prompt: torch.Tensor, first: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    codes = torch.zeros(len(prompt) + len(first), 4, dtype=torch.long)
    codes[: len(prompt)] = prompt
    codes[len(prompt) :, 0] = first
    midi = model.nar_midi(rows[None], torch.arange(len(rows))[None].float())
    positions = torch.arange(len(codes))[None].float()
    logits = []
    for stage, affines in enumerate(model.nar_affines()):
        audio = model.nar_audio_position(model.nar_audio(codes[None], len(prompt), stage), positions)
        hidden = model.nar_decoder(torch.cat([midi, audio], dim=1), affines, FullAttention())
        logits.append(model.nar_logits(hidden[0, len(rows) + len(prompt) :], stage))
        codes[len(prompt) :, stage + 1] = logits[-1].argmax(-1)
    return codes[len(prompt) :], torch.stack(logits)


def published_inference(
    model: MidiValle, rows: torch.Tensor, prompt: torch.Tensor, draw: Draw
) -> tuple[torch.Tensor, torch.Tensor]:
    """The published sampler with its stop rule: all codes, and every AR step's logits."""
    codes, steps = prompt[:, 0], []
    while True:
        steps.append(ar_logits(model, rows, codes)[-1])
        code = draw(steps[-1])
        generated = len(codes) - len(prompt)
        if code == END or int(steps[-1].argmax()) == END or generated > 16 * len(rows):
            first = codes[len(prompt) :]
            return nar_stages(model, rows, prompt, first)[0], torch.stack(steps)
        codes = torch.cat([codes, torch.tensor([code])])


def greedy(logits: torch.Tensor) -> int:
    return int(logits.argmax())


@torch.inference_mode()
def test_teacher_forced_ar_logits_equal_the_published_ones(small: dict[str, torch.Tensor]) -> None:
    codes = torch.cat([small["prompt_codes"][:, 0], small["tf_codes"]])
    logits = ar_logits(published_model(small), small["midi_tokens"], codes)
    expected = small["tf_ar_logits"]
    assert (logits[-len(expected) :] - expected).abs().max() <= 1e-5


@torch.inference_mode()
def test_ar_inputs_and_hidden_states_equal_the_published_ones(small: dict[str, torch.Tensor]) -> None:
    model, rows, prompt = published_model(small), small["midi_tokens"], small["prompt_codes"]
    midi = model.ar_midi(rows[None], torch.arange(len(rows))[None].float())
    audio = model.ar_audio(prompt[None, :, 0], torch.arange(len(prompt))[None].float())
    hidden = model.ar_decoder(torch.cat([midi, audio], 1), model.ar_decoder.affines(), PrefixAttention(len(rows)))
    assert (midi[0] - small["ar_text_in"]).abs().max() <= 1e-5
    assert (audio[0] - small["ar_audio_in0"]).abs().max() <= 1e-5
    assert (hidden[0] - small["ar_final_hidden0"]).abs().max() <= 1e-5


@torch.inference_mode()
def test_greedy_codes_and_logits_equal_the_published_ones(small: dict[str, torch.Tensor]) -> None:
    model, rows, prompt = published_model(small), small["midi_tokens"], small["prompt_codes"]
    codes, steps = published_inference(model, rows, prompt, greedy)
    assert torch.equal(codes, small["greedy_codes"])
    assert (steps - small["greedy_ar_logits"]).abs().max() <= 1e-5
    _, logits = nar_stages(model, rows, prompt, codes[:, 0])
    assert (logits - small["nar_logits"]).abs().max() <= 5e-5
    assert torch.equal(logits.argmax(-1), small["nar_argmax"])


@torch.inference_mode()
def test_length_limited_codes_equal_the_published_ones(small: dict[str, torch.Tensor]) -> None:
    model = published_model(small, ends=False)
    codes, _ = published_inference(model, small["lenlimit_midi_tokens"], small["prompt_codes"], greedy)
    assert torch.equal(codes, small["lenlimit_codes_eosrow_zero"])


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "sampling"),
    [("sample_full_codes", Sampling()), ("sample_k50_t08_codes", Sampling(temperature=0.8, top_k=50))],
)
def test_seeded_codes_equal_the_published_ones(small: dict[str, torch.Tensor], name: str, sampling: Sampling) -> None:
    model = published_model(small)
    torch.manual_seed(7)

    def multinomial(logits: torch.Tensor) -> int:
        kept = keep_likely(logits[None] / sampling.temperature, sampling)
        return int(torch.multinomial(kept.softmax(-1), 1))

    codes, _ = published_inference(model, small["lenlimit_midi_tokens"], small["prompt_codes"], multinomial)
    assert torch.equal(codes, small[name])


def test_full_size_model_has_exactly_the_published_keys_and_parameters() -> None:
    with torch.device("meta"):
        model = MidiValle(ModelConfig())
    ours = {f"{key}\t{tuple(value.shape)}\t{value.dtype}" for key, value in model.state_dict().items()}
    assert ours == set((FIXTURES / "keys_published.txt").read_text().splitlines())
    assert sum(p.numel() for p in model.parameters()) == 371_021_188
