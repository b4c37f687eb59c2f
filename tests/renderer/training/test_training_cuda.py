"""Training on a GPU: nothing waits for it within a step, and its attention is the CPU's."""

from dataclasses import replace

import pytest
import torch

from renderer.model.midi_valle import MidiValle
from renderer.training.figures import read_figures
from renderer.training.initial_weights import initialise
from renderer.training.learning_rate import LearningRate
from renderer.training.model_training import ModelTraining, ModelTrainingSettings
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from renderer.training.window_attention import attend_one_by_one
from tests.renderer.training.clips import CONFIG, Clips, windows_of

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SETTINGS = ModelTrainingSettings(LearningRate(1e-3, 2, 100), batch=8, micro_batch=8, precision="bf16")


def training(settings: ModelTrainingSettings = SETTINGS) -> ModelTraining:
    seed_torch("training on a GPU")
    config = replace(CONFIG, d_model=128, roll_frame_rate=50, summary_width=16, absent_prompt=True)
    model = MidiValle(config)
    initialise(model)
    return ModelTraining(model.cuda(), windows_of(Clips(), config=config, drop_prompt=0.2), settings, Team())


def test_no_step_waits_for_the_device() -> None:
    run = training()
    run.step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        figures = [run.step(1), run.step(2)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert read_figures(figures)[0]["ar"] > 0


def test_kernel_for_packs_gives_what_windows_give_one_by_one() -> None:
    packed, apart = training(), training()
    assert packed.kernel.within is not attend_one_by_one
    apart.kernel = replace(apart.kernel, within=attend_one_by_one)
    for step in range(3):
        ours, theirs = (read_figures([run.step(step)])[0] for run in (packed, apart))
        assert ours == pytest.approx(theirs, rel=0.02)


def test_compiled_decoders_learn_the_same() -> None:
    plain, compiled = training(), training(replace(SETTINGS, is_compiled=True))
    for step in range(3):
        ours, theirs = (read_figures([run.step(step)])[0] for run in (plain, compiled))
        assert ours == pytest.approx(theirs, rel=0.02)


def test_steps_read_by_other_processes_are_the_same() -> None:
    plain, ahead = training(), training(replace(SETTINGS, readers=2))
    for step in range(3):
        ours, theirs = (read_figures([run.step(step)])[0] for run in (plain, ahead))
        assert ours == pytest.approx(theirs, rel=0.02)
