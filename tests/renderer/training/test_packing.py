"""Windows side by side give what each gives alone, through the attention that inference uses."""

import pickle
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle
from renderer.model.piano_roll import notes_of_rows
from renderer.training import window_attention
from renderer.training.initial_weights import initialise
from renderer.training.model_loss import ar_loss, nar_loss
from renderer.training.packing import Lesson, PackedWindows
from renderer.training.randomness import seed_torch
from renderer.training.window_attention import (
    PrefixWithinWindows,
    Sequences,
    attend_one_by_one,
    attention,
    causal_attention,
    choose_kernel,
)
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
    return PackedWindows.of(
        windows, Lesson(**{"prefixes": [150] * len(windows), "end_code": CONFIG.end_code, **lesson})
    )


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
    monkeypatch.setattr(window_attention, "CPU_CHUNK", 7)
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


def test_pack_crosses_processes_without_open_files(windows: list[Window]) -> None:
    pack = packed(windows)
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(pack, protocol=5, buffer_callback=buffers.append)
    assert b"rebuild" not in content
    again = pickle.loads(content, buffers=buffers)
    assert again.spans == pack.spans
    assert torch.equal(again.codes, pack.codes)
    assert torch.equal(again.windows.spans.starts, pack.windows.spans.starts)
    assert torch.equal(again.notes.onset, pack.notes.onset)


def unprompted(window: Window) -> Window:
    return replace(window, is_prompted=False)


@torch.no_grad()
def test_windows_without_a_prompt_know_nothing_of_its_codes(model: MidiValle, windows: list[Window]) -> None:
    mixed = [unprompted(windows[0]), *windows[1:]]
    other = replace(mixed[0], codes=mixed[0].codes.clone())
    other.codes[:150] = (other.codes[:150] + 5) % CONFIG.codebook_size
    other.codes[0:150, 1:] = 3
    for loss in (ar_loss, partial(nar_loss, stage=0), partial(nar_loss, stage=1)):
        alike, changed = (loss(model, packed([first, *mixed[1:]])) for first in (mixed[0], other))
        torch.testing.assert_close(alike, changed)
    # Of its own frames all are predicted, of the prompt's none.
    pack = packed([mixed[0]], prefixes=[150])
    assert len(pack.ar_targets) == len(mixed[0].codes) - 150
    heard = ar_loss(model, packed([windows[0]], prefixes=[150], first=150))
    assert (ar_loss(model, pack) - heard).abs().max() > 1e-3


@pytest.fixture
def conditioned_model() -> MidiValle:
    seed_torch("told")
    model = MidiValle(replace(CONFIG, roll_frame_rate=50, summary_width=8))
    initialise(model)
    for summary in (model.ar_summary, model.nar_summary):
        assert summary is not None
        torch.nn.init.normal_(summary.out.weight)
    return model.eval()


@torch.no_grad()
def test_frames_of_a_pack_are_conditioned_as_each_windows_are_in_inference(
    conditioned_model: MidiValle, windows: list[Window]
) -> None:
    pack = packed(windows)
    for conditioning, alone in (
        (pack.ar_conditioning(conditioned_model), conditioned_model.ar_conditioning),
        (pack.nar_conditioning(conditioned_model), conditioned_model.nar_conditioning),
    ):
        assert conditioning is not None
        expected = [alone(notes_of_rows(window.rows), window.codes[:150], len(window.codes)) for window in windows]
        torch.testing.assert_close(
            conditioning, torch.cat([frames for frames in expected if frames is not None], dim=1)
        )


@torch.no_grad()
def test_summary_says_how_the_prompt_sounds_to_what_comes_after_it(
    conditioned_model: MidiValle, windows: list[Window]
) -> None:
    window, other = windows[0], (windows[0].codes + 1) % CONFIG.codebook_size
    frames = len(window.codes)
    ar, ar_other = (
        conditioned_model.ar_conditioning(notes_of_rows(window.rows), codes[:150], frames)
        for codes in (window.codes, other)
    )
    assert ar is not None and ar_other is not None
    assert torch.equal(ar[:, :149], ar_other[:, :149])  # Where the prompt itself is predicted, it must not be known.
    difference = (ar - ar_other)[0, 149:]
    assert difference[0].abs().max() > 1e-3
    torch.testing.assert_close(difference, difference[:1].expand_as(difference))


@torch.no_grad()
def test_summary_begins_as_if_it_were_not_there(windows: list[Window]) -> None:
    model = MidiValle(replace(CONFIG, summary_width=8))
    initialise(model)
    conditioning = packed(windows).ar_conditioning(model)
    assert conditioning is not None and not conditioning.any()


def test_prefix_attention_is_one_causal_mask_and_midi_once_more() -> None:
    lengths = [(3, 5), (1, 7), (4, 4)]
    windows = Sequences.of(rows + frames for rows, frames in lengths)
    places = torch.cat(
        [begin + torch.arange(rows) for begin, (rows, _) in zip(windows.spans.starts, lengths, strict=False)]
    )
    query, key, value = (torch.randn(1, 2, 24, 8) for _ in range(3))
    attend = PrefixWithinWindows(windows, Sequences.of(rows for rows, _ in lengths), places, attend_one_by_one)
    found = attend(0, query, key, value)
    begin = 0
    for rows, frames in lengths:
        part = slice(begin, begin + rows + frames)
        alone = PrefixAttention(rows)(0, query[:, :, part], key[:, :, part], value[:, :, part])
        torch.testing.assert_close(found[:, :, part], alone)
        begin += rows + frames


def test_cpu_attends_window_by_window() -> None:
    kernel = choose_kernel(torch.device("cpu"), torch.bfloat16, 64)
    assert kernel.within is attend_one_by_one
    assert Sequences.of([700, 3]).spans.longest == 1024
    assert Sequences.of([700, 3]).spans.starts.tolist() == [0, 700, 703]
