"""Memory: the batch is planned before it is needed, and halved where the plan did not hold."""

import pytest
import torch

from renderer.decoding import batch_size
from renderer.decoding.batch_size import plan_batch
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling, noise_key
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.weights.checkpoint import find_model, load_model

MIB = 2**20


@pytest.fixture(scope="module")
def mini() -> MidiValle:
    return load_model(find_model("mini"))


def test_as_many_segments_are_planned_as_memory_holds(mini: MidiValle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "free_bytes", lambda device: 400 * MIB)
    plan = plan_batch(mini, torch.float32, 250, 50, 64)
    # 400 frames and 200 rows of 4 layers of keys and values, 256 wide, in fp32.
    assert plan.per_segment == 2 * 4 * 256 * 600 * 4
    assert plan.size == 400 * MIB // 4 // plan.per_segment
    assert "not enough for 64" in str(plan)
    assert plan_batch(mini, torch.float32, 250, 50, 4).size == 4
    monkeypatch.setattr(batch_size, "free_bytes", lambda device: 0)
    assert plan_batch(mini, torch.float32, 250, 50, 4).size == 1


@pytest.mark.parametrize("failing", ["prefill", "decode", "finish", "complete"])
@pytest.mark.parametrize("calls", [1, 3])
def test_running_out_of_memory_halves_the_batch_and_changes_no_code(
    failing: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = MidiValle(ModelConfig(d_model=64, heads=2, layers=2, codebook_size=64)).eval()
    segments = [segment(index) for index in range(11)]
    undisturbed = {s.key: codes for s, codes in Engine(make_runner(model, 8)).generate(segments, Sampling())}
    engine = Engine(make_runner(model, 8))
    work, count = getattr(engine.runner, failing), 0

    def fail_once(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == calls:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(*arguments)

    monkeypatch.setattr(engine.runner, failing, fail_once)
    found = [(s.key, codes) for s, codes in engine.generate(segments, Sampling())]
    assert engine.batch_size == 4
    assert sorted(key for key, _ in found) == sorted(undisturbed)
    assert all(torch.equal(codes, undisturbed[key]) for key, codes in found)


def test_a_batch_of_one_that_does_not_fit_is_an_error(mini: MidiValle, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(make_runner(mini, 2))

    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.runner, "prefill", fail)
    with pytest.raises(torch.OutOfMemoryError):
        list(engine.generate([segment(0), segment(1)], Sampling()))
    assert engine.batch_size == 1 and engine.is_idle


def test_what_the_source_of_segments_raises_is_not_swallowed(mini: MidiValle) -> None:
    def source() -> "list[ModelInput]":
        raise MemoryError("while a MIDI file was read")

    with pytest.raises(MemoryError, match="MIDI"):
        list(Engine(make_runner(mini, 2)).generate((s for _ in range(1) for s in source()), Sampling()))


def segment(index: int) -> ModelInput:
    random = torch.Generator().manual_seed(index)
    rows = torch.ones(6, 6, dtype=torch.int64)
    prompt = torch.randint(64, (5 + index % 3, 4), generator=random)
    return ModelInput(rows, torch.arange(6.0), prompt, 3 + 5 * (index % 4), noise_key(1, index))
