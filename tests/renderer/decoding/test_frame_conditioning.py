"""Models whose frames are conditioned on what the prompt sounds like decode as they were trained."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.decoding.runners.runner import ModelRunner
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.decoding.sampling import Sampling
from renderer.model.midi_valle import MidiValle
from renderer.model.varlen import ONE_BY_ONE
from renderer.training.initial_weights import initialise
from renderer.training.model_loss import ar_logits, nar_logits
from renderer.training.packing import Lesson, PackedWindows
from renderer.training.randomness import seed_torch
from renderer.training.windows import Window
from tests.renderer.training.clips import CONFIG, Clips, windows_of


def packed_runner(model: MidiValle, slots: int) -> ModelRunner:
    sizes = PackedSizes(step=4, prefill=256, complete=512, positions=64, frames=16, steps=3, refill=2, completes=3)
    return PackedRunner(model, slots, ONE_BY_ONE, sizes=sizes)


@pytest.mark.parametrize("make_runner", [SequentialRunner, packed_runner])
@pytest.mark.parametrize("roll_frame_rate", [0, 50])
@torch.no_grad()
def test_greedy_codes_are_the_likeliest_ones_of_training(
    roll_frame_rate: int, make_runner: Callable[[MidiValle, int], ModelRunner]
) -> None:
    seed_torch("told frames")
    model = MidiValle(replace(CONFIG, roll_frame_rate=roll_frame_rate, summary_width=8)).eval()
    initialise(model)
    for summary in (model.ar_summary, model.nar_summary):
        assert summary is not None
        torch.nn.init.normal_(summary.out.weight)
    series = windows_of(Clips())
    window = series.window(series.plan(0))
    prompt, frames = window.codes[: window.prompt_frames], len(window.codes) - window.prompt_frames
    given = ModelInput(window.rows, window.positions, prompt, frames, 0)
    ((_, codes),) = Engine(make_runner(model, 2)).generate([given], Sampling(temperature=0))
    drawn = replace(window, codes=torch.cat([prompt, codes]))
    first, stages = predictions(model, drawn)
    assert torch.equal(first, codes[:, 0])
    for stage, found in enumerate(stages):
        assert torch.equal(found, codes[:, stage + 1])


def predictions(model: MidiValle, window: Window) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The likeliest codes (frames,) of a window, by codebook."""
    lesson = Lesson(prefixes=[window.prompt_frames], first=window.prompt_frames, end_code=CONFIG.end_code)
    pack = PackedWindows.of([window], lesson)
    first = ar_logits(model, pack)[:, : CONFIG.end_code].argmax(-1)
    return first, [nar_logits(model, pack, stage).argmax(-1) for stage in range(CONFIG.codebooks - 1)]
