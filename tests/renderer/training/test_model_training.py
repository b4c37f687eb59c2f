"""Training steps: what they do depends on the step alone, and they bring the loss down."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from renderer.errors import TrainingError
from renderer.model.midi_valle import MidiValle
from renderer.training.checkpoints import Checkpoints
from renderer.training.figures import read_figures
from renderer.training.initial_weights import initialise
from renderer.training.learning_rate import LearningRate
from renderer.training.model_training import ModelTraining, ModelTrainingSettings, Stages
from renderer.training.model_validation import ModelValidation
from renderer.training.model_work import training_flops
from renderer.training.randomness import seed_torch
from renderer.training.team import Team
from tests.renderer.training.clips import CONFIG, Clips, windows_of

SETTINGS = ModelTrainingSettings(LearningRate(3e-3, 2, 100), batch=4, micro_batch=2, precision="fp32")


def training(settings: ModelTrainingSettings = SETTINGS, from_model: bool = False) -> ModelTraining:
    seed_torch("model training")
    model = MidiValle(CONFIG)
    initialise(model)
    return ModelTraining(model, windows_of(Clips()), settings, Team(), from_model)


def steps(run: ModelTraining, first: int, stop: int) -> list[dict[str, float]]:
    return read_figures([run.step(step) for step in range(first, stop)], first)


def test_killed_training_repeats_the_undisturbed_curve_exactly(tmp_path: Path) -> None:
    settings = replace(SETTINGS, dropout=0.1)
    undisturbed = training(settings)
    curve = steps(undisturbed, 0, 6)
    killed = training(settings)
    checkpoints = Checkpoints(tmp_path, {}, killed.parts)
    assert steps(killed, 0, 3) == curve[:3]
    checkpoints.save(3)
    killed.step(3)
    resumed = training(settings)
    assert Checkpoints(tmp_path, {}, resumed.parts).restore() == 3
    assert steps(resumed, 3, 6) == curve[3:]
    for name, weight in undisturbed.average.weights.items():
        assert torch.equal(weight, resumed.average.weights[name])


def test_micro_batches_add_up_to_the_batch() -> None:
    whole, parts = training(replace(SETTINGS, micro_batch=4)), training(replace(SETTINGS, micro_batch=1))
    for own, others in zip(steps(whole, 0, 3), steps(parts, 0, 3), strict=True):
        assert own == pytest.approx(others, rel=1e-4)


@pytest.mark.parametrize("stages", ["ar", "nar"])
def test_one_decoder_alone_leaves_the_other_and_what_they_share(stages: Stages) -> None:
    alone = training(replace(SETTINGS, stages=stages), from_model=True)
    before = {name: weight.clone() for name, weight in alone.model.state_dict().items()}
    figures = steps(alone, 0, 1)[0]
    changed = {name for name, weight in alone.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith(stages) for name in changed)
    assert set(figures) == {stages, "gradient_norm", "rate"}


def test_loss_and_validation_fall_and_the_average_follows() -> None:
    run = training()
    validation = ModelValidation(windows_of(Clips()), 4, precision="fp32")
    before = validation.figures(run.model)
    losses = steps(run, 0, 30)
    assert losses[-1]["ar"] < losses[0]["ar"] - 0.1
    with run.average.applied(run.model):
        after = validation.figures(run.model)
    assert after["valid_nats_0"] < before["valid_nats_0"]
    assert set(after) == {"valid_nats", *(f"valid_{what}_{book}" for what in ("nats", "accuracy") for book in range(3))}


def test_all_stages_and_bf16_and_the_end_code_can_be_trained() -> None:
    run = training(replace(SETTINGS, all_nar_stages=True, train_end=True, precision="bf16"))
    figures = steps(run, 0, 1)[0]
    assert 2 < figures["ar"] < 4
    assert 2 < figures["nar"] < 4
    assert run.flops > 0


def test_gradient_that_is_not_finite_stops_the_training() -> None:
    run = training()
    with torch.no_grad():
        run.model.ar_predict_layer.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 7: ar is nan"):
        steps(run, 7, 8)


def test_arithmetic_of_training_counts_every_matrix_product() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    run = training()
    run.step(0)
    before = run.flops
    with FlopCounterMode(display=False) as counter:
        run.step(1)
    assert run.flops - before == pytest.approx(counter.get_total_flops(), rel=0.15)  # Some attention is in vain.
    assert training_flops(CONFIG, [(10, 20)], is_ar=True) < training_flops(CONFIG, [(10, 20)], is_ar=False)


@torch.no_grad()
def test_a_step_of_adam_changes_no_adaptive_norm_by_much_more_than_the_rate() -> None:
    seed_torch("initial weights")
    model = MidiValle(replace(CONFIG, d_model=256))
    initialise(model)
    stage = model.nar_stage_embeddings[0](torch.zeros(1, dtype=torch.int64))
    before = model.nar_decoder.affines(stage)
    rate = 1e-3
    for name, weight in model.nar_decoder.named_parameters():
        if name.endswith("project_layer.weight"):
            weight.add_(rate * stage.sign())  # The step in which all agree.
    for (scale, shift), (scale_before, shift_before) in zip(model.nar_decoder.affines(stage), before, strict=True):
        assert (scale - scale_before).abs().max() < 3 * rate
        assert (shift - shift_before).abs().max() < 3 * rate
