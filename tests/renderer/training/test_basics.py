"""The shared basics of training: averages, rates, checkpoints, histories, curves, and chance without a state."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from renderer.errors import TrainingError
from renderer.training.checkpoints import BEST, Checkpoints, Stateful
from renderer.training.curves import curves_svg
from renderer.training.history import History, read_history, series
from renderer.training.learning_rate import LearningRate, set_rate
from renderer.training.moving_average import MovingAverage
from renderer.training.randomness import random_at, seed_torch, shuffled


def test_rate_warms_up_to_the_peak_and_cosine_ends_at_the_floor() -> None:
    rate = LearningRate(peak=1e-3, warmup=10, steps=100, floor=0.1)
    assert rate.at(0) == pytest.approx(1e-4)
    assert rate.at(9) == pytest.approx(1e-3)
    assert rate.at(99) == pytest.approx(1e-4)
    assert all(rate.at(step) > rate.at(step + 1) for step in range(9, 99))


def test_inverse_root_quarters_over_sixteen_times_the_steps_and_stops_at_the_floor() -> None:
    rate = LearningRate(peak=1.0, warmup=100, steps=100_000, decay="inverse-sqrt", floor=0.1)
    assert rate.at(99) == 1.0
    assert rate.at(1599) == pytest.approx(0.25)
    assert rate.at(99_999) == 0.1


@pytest.mark.parametrize(
    "wrong",
    [{"peak": 0.0}, {"floor": 1.1}, {"warmup": 101}, {"decay": "linear"}, {"steps": 0, "warmup": 0}],
)
def test_rates_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|do not fit"):
        LearningRate(**{"peak": 1.0, "warmup": 10, "steps": 100} | wrong)  # type: ignore[arg-type]


def test_average_follows_the_weights_and_is_lent_for_a_while() -> None:
    module = nn.Linear(2, 2)
    average = MovingAverage(module, decay=0.5)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1.0)
    average.update(module)  # The first update's decay is 1 / 10.
    assert torch.allclose(average.weights["weight"], before + 0.9)
    with average.applied(module):
        assert torch.allclose(module.weight, before + 0.9)
    assert torch.allclose(module.weight, before + 1.0)


def test_stateless_numbers_belong_to_their_place() -> None:
    assert random_at(1, "crop", 7).integers(1 << 60) == random_at(1, "crop", 7).integers(1 << 60)
    assert random_at(1, "crop", 7).integers(1 << 60) != random_at(1, "crop", 8).integers(1 << 60)
    seed_torch(0, "dropout", 3)
    first = torch.rand(4)
    torch.rand(100)
    seed_torch(0, "dropout", 3)
    assert torch.equal(torch.rand(4), first)
    epochs = [sorted(shuffled(epoch * 5 + i, 5, 0) for i in range(5)) for epoch in range(3)]
    assert epochs == [[0, 1, 2, 3, 4]] * 3


class Toy:
    """A training of a line, whose data are a function of the step."""

    def __init__(self, folder: Path, **config: object) -> None:
        seed_torch(0, "start")
        self.network = nn.Linear(3, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.average = MovingAverage(self.network, 0.9)
        parts: dict[str, Stateful] = {"network": self.network, "optimizer": self.optimizer, "average": self.average}
        self.checkpoints = Checkpoints(folder, {"width": 3, "rate": {"peak": 0.1}} | config, parts)
        self.step = self.checkpoints.restore()
        self.history = History(folder / "history.jsonl", self.step)
        self.rate = LearningRate(0.1, 5, 40)

    def train(self, until: int) -> None:
        for step in range(self.step, until):
            x = torch.from_numpy(random_at("data", step).standard_normal((8, 3))).float()
            loss = (self.network(x) - x.sum(1, keepdim=True)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            set_rate(self.optimizer, self.rate.at(step))
            self.optimizer.step()
            self.average.update(self.network)
            self.history.add(step + 1, 0.1 * step, loss=loss.item())


def test_killed_training_goes_on_exactly_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = Toy(tmp_path / "whole")
    whole.train(40)
    killed = Toy(tmp_path / "killed")
    killed.train(15)
    killed.checkpoints.save(15)
    Toy(tmp_path / "killed").train(22)  # Its last seven steps are lost.
    resumed = Toy(tmp_path / "killed")
    assert resumed.step == 15
    resumed.train(40)
    assert series(resumed.history.records, "loss") == series(whole.history.records, "loss")
    assert read_history(tmp_path / "killed" / "history.jsonl") == resumed.history.records
    assert torch.equal(resumed.average.weights["weight"], whole.average.weights["weight"])


def test_resume_refuses_another_configuration_naming_the_fields(tmp_path: Path) -> None:
    Toy(tmp_path).checkpoints.save(1)
    with pytest.raises(TrainingError, match=r"rate was \{'peak': 0.1\}, is 2; width was 3, is 4"):
        Toy(tmp_path, width=4, rate=2)


def test_best_checkpoint_stays_when_later_ones_are_worse(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    assert toy.checkpoints.save(1, score=2.0)
    assert toy.checkpoints.save(2, score=1.0)
    assert not toy.checkpoints.save(3, score=1.5)
    assert not toy.checkpoints.save(4)
    again = Toy(tmp_path)
    assert (again.step, again.checkpoints.best) == (4, 1.0)
    assert again.checkpoints.restore(BEST) == 2


def test_interrupted_write_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(tmp_path)
    toy.checkpoints.save(1)

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(TrainingError, match="No space left"):
        toy.checkpoints.save(2)
    monkeypatch.undo()
    assert Toy(tmp_path).step == 1
    assert not list(tmp_path.glob(".last*"))


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    Toy(tmp_path).checkpoints.save(1)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"last\.pt is no checkpoint, or a damaged one"):
        Toy(tmp_path)


def test_history_forgets_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path, 0).add(1, 0.5, loss=2.0)
    with path.open("a") as file:
        file.write('{"step": 2, "sec')
    history = History(path, 10)
    history.add(2, 1.0, loss=1.0)
    assert read_history(path) == [{"step": 1, "seconds": 0.5, "loss": 2.0}, {"step": 2, "seconds": 1.0, "loss": 1.0}]


def test_curves_are_an_svg_with_a_line_for_every_figure_that_there_is() -> None:
    records = [{"step": float(s), "seconds": 1.0, "loss": 1 / s} for s in range(1, 2000)]
    records.append({"step": 2000.0, "seconds": 1.0, "valid": 0.3, "broken": float("nan")})
    root = ElementTree.fromstring(curves_svg(records, {"Loss <nats>": ["loss", "valid", "broken"], "None": ["absent"]}))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    assert len(lines[0].attrib["points"].split()) <= 400
    assert curves_svg([], {"Loss": ["loss"]}).startswith("<svg")
