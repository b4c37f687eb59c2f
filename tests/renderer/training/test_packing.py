"""Windows side by side give what each gives alone, through the attention that inference uses."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle
from renderer.training import packed_attention
from renderer.training.initial_weights import initialise
from renderer.training.model_loss import ar_loss, nar_loss
from renderer.training.packed_attention import attention, causal_attention
from renderer.training.packing import Lesson, PackedWindows
from renderer.training.randomness import seed_torch
from renderer.training.windows import Window
from tests.renderer.training.clips import CONFIG, Clips, windows_of


@pytest.fixture
def model() -> MidiValle:
    seed_torch("packing")
    model = MidiValle(CONFIG)
    initialise(model)
    return model.eval()


@pytest.fixture
def windows() -> list[Window]:
    series = windows_of(Clips())
    found = [series.window(series.plan(number)) for number in range(5)]
    assert len({(len(window.rows), len(window.codes)) for window in found}) > 2
    return found


def packed(windows: list[Window], **lesson: Any) -> PackedWindows:
    return PackedWindows.of(windows, Lesson(**{"prefixes": [150] * 5, "end_code": CONFIG.end_code, **lesson}))


@torch.no_grad()
def test_packed_ar_loss_is_that_of_each_window_alone(model: MidiValle, windows: list[Window]) -> None:
    expected = []
    for window in windows:
        midi = model.ar_midi(window.rows[None], window.positions[None])
        frames = torch.arange(len(window.codes))[None].float()
        x = torch.cat([midi, model.ar_audio(window.codes[None, :, 0], frames)], dim=1)
        hidden = model.ar_decoder(x, model.ar_decoder.affines(), PrefixAttention(len(window.rows)))
        logits = model.ar_logits(hidden[0, len(window.rows) :])
        targets = torch.cat([window.codes[1:, 0], torch.tensor([CONFIG.end_code])])
        expected.append(functional.cross_entropy(logits, targets, reduction="none"))
    with_end = ar_loss(model, packed(windows, train_end=True))
    torch.testing.assert_close(with_end, torch.cat(expected))
    torch.testing.assert_close(ar_loss(model, packed(windows)), torch.cat([nats[:-1] for nats in expected]))
    of_segments = torch.cat([nats[149:-1] for nats in expected])
    torch.testing.assert_close(ar_loss(model, packed(windows, first=150)), of_segments)


@torch.no_grad()
@pytest.mark.parametrize("stage", [0, 1])
def test_packed_nar_loss_is_that_of_each_window_alone(model: MidiValle, windows: list[Window], stage: int) -> None:
    prefixes = [40 + number for number in range(len(windows))]
    expected = []
    for window, prefix in zip(windows, prefixes, strict=True):
        midi = model.nar_midi(window.rows[None], window.positions[None])
        frames = torch.arange(len(window.codes))[None].float()
        hidden_codes = window.codes.clone()
        hidden_codes[prefix:, stage + 1 :] = 7  # What is not known yet must not matter.
        audio = model.nar_audio_position(model.nar_audio(hidden_codes[None], prefix, stage), frames)
        affines = model.nar_affines()[stage]
        hidden = model.nar_decoder(torch.cat([midi, audio], dim=1), affines, FullAttention())
        logits = model.nar_logits(hidden[0, len(window.rows) + prefix :], stage)
        expected.append(functional.cross_entropy(logits, window.codes[prefix:, stage + 1], reduction="none"))
    torch.testing.assert_close(nar_loss(model, packed(windows, prefixes=prefixes), stage), torch.cat(expected))


def test_attention_written_out_equals_the_fused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "CPU_CHUNK", 7)
    query, key, value = (torch.randn(2, 33, 8) for _ in range(3))
    torch.testing.assert_close(attention(query, key, value), functional.scaled_dot_product_attention(query, key, value))
    visible = torch.ones(20, 33).tril(13).bool()
    fused = functional.scaled_dot_product_attention(query[:, 13:], key, value, attn_mask=visible)
    torch.testing.assert_close(causal_attention(query[:, 13:], key, value), fused)
    on_other_devices = functional.scaled_dot_product_attention(
        query[:, 13:], key, value, attn_mask=causal_lower_right(20, 33)
    )
    torch.testing.assert_close(on_other_devices, fused)


@torch.no_grad()
def test_first_predictions_are_nearly_even(model: MidiValle, windows: list[Window]) -> None:
    pack = packed(windows)
    even = torch.tensor(float(CONFIG.codebook_size)).log()
    assert abs(ar_loss(model, pack).mean() - even) < 0.5
    for stage in (0, 1):
        assert abs(nar_loss(model, pack, stage).mean() - even) < 1.0
