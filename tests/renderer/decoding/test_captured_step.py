"""A captured step does what an uncaptured one does, follows what it works on, and does not miss any of it."""

from collections.abc import Callable

import pytest
import torch

import renderer.decoding.key_values
import renderer.decoding.runners.sequential_runner
from renderer.decoding.captured_step import CapturedStep, Graph, capture_on
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling
from renderer.decoding.slot_state import SlotState
from renderer.model.midi_valle import MidiValle, ModelConfig


class Recording:
    """Stands for a graph: it does what was recorded, to the tensors that there were then."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.replay = work


class Recorder:
    """Captures on a CPU; it counts how often."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(self, work: Callable[[], None], other: Graph | None) -> Recording:
        self.captures += 1
        return Recording(work)


def test_on_a_cpu_every_step_is_run_as_it_is() -> None:
    done: list[tuple[int, ...]] = []
    step = CapturedStep(done.append, lambda: (), (), capture_on(torch.device("cpu")))
    wanted = [(64,), (64,), (128, 64), (64,)]
    for extents in wanted:
        step(extents)
    assert done == wanted


def test_a_step_is_captured_once_for_each_kind_and_again_where_a_tensor_moved() -> None:
    place, weight, capture = {"counts": torch.zeros(4)}, torch.ones(4), Recorder()

    def step(kind: int) -> None:
        place["counts"] += weight * kind + torch.arange(4) * torch.tensor([0.0] * 4)

    captured = CapturedStep(step, lambda: place.values(), [weight], capture)
    for kind in (1, 1, 1, 2, 2, 1):
        captured(kind)
    assert place["counts"].tolist() == [8] * 4 and capture.captures == 2
    place["counts"] = torch.zeros(4)
    for _ in range(4):
        captured(5)
    assert place["counts"].tolist() == [20] * 4 and capture.captures == 3


@pytest.mark.parametrize("is_written", [True, False])
def test_a_tensor_that_is_missing_from_the_list_is_an_error_at_once(is_written: bool) -> None:
    listed, forgotten = torch.zeros(3), torch.ones(3, 2)

    def step(kind: int) -> None:
        if is_written:
            forgotten[0, 1] = listed[0]
        else:
            listed.add_(forgotten.T[0])

    captured = CapturedStep(step, lambda: [listed], [], Recorder())
    with pytest.raises(RuntimeError, match=r"touches a tensor \(.*\) of torch.float32 that it does not say"):
        captured(1)


def test_where_capturing_fails_steps_are_run_as_they_are_with_a_warning() -> None:
    counts = torch.zeros(1)

    def refuse(work: Callable[[], None], other: Graph | None) -> Graph:
        raise RuntimeError("no graphs here")

    def step(kind: int) -> None:
        counts.add_(kind)

    captured = CapturedStep(step, lambda: [counts], [], refuse)
    captured(1)
    with pytest.warns(UserWarning, match="decoding goes on without CUDA graphs, and slower: no graphs here"):
        captured(1)
    captured(1)
    assert counts.item() == 3


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(renderer.decoding.runners.sequential_runner, "capture_on", lambda device: recorder)
    monkeypatch.setattr(renderer.decoding.key_values, "adds_up_rows_fast", lambda *about: False)
    return recorder


def generate() -> None:
    torch.manual_seed(0)
    model = MidiValle(ModelConfig(d_model=64, heads=2, layers=2, codebook_size=64, roll_frame_rate=50)).eval()
    rows = torch.ones(6, 6, dtype=torch.int64)
    sequence = ModelInput(rows, torch.arange(6.0), torch.ones(5, 4, dtype=torch.int64), 4, 1)
    list(Engine(make_runner(model, 2)).generate([sequence], Sampling(top_k=9, top_p=0.9)))


def test_the_step_of_decoding_says_all_that_it_works_on(recorder: Recorder) -> None:
    generate()
    assert recorder.captures == 1


def test_a_tensor_of_the_slots_that_is_forgotten_is_found(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_but_one(state: SlotState) -> tuple[torch.Tensor, ...]:
        return tuple(value for name, value in vars(state).items() if name != "key" and value is not None)

    monkeypatch.setattr(SlotState, "tensors", property(all_but_one))
    with pytest.raises(RuntimeError, match="does not say"):
        generate()


def test_memory_that_runs_out_while_a_step_is_recorded_is_no_reason_to_give_recording_up() -> None:
    def capture(work: object, other: object) -> Graph:
        raise RuntimeError("CUDA error: out of memory")

    step: CapturedStep[int] = CapturedStep(lambda kind: None, list, (), capture)
    step(1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            step(1)
