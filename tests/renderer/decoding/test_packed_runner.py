"""Many sequences in one pass: each comes out as if it were alone, and nobody waits for the device. On the CPU."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners import packed_runner
from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.decoding.runners.slot_table import SlotTable
from renderer.decoding.sampling import Sampling, noise_key
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.varlen import ONE_BY_ONE, Spans, VarlenKernel

GREEDY = Sampling(temperature=0)
SIZES = PackedSizes(step=6, prefill=96, complete=192, positions=64, frames=16, steps=4, refill=2, completes=3)


def sequence(index: int, frames: int, notes: int, prompt: int) -> ModelInput:
    random = torch.Generator().manual_seed(index)
    rows = torch.ones(notes + 2, 6, dtype=torch.int64)
    rows[0], rows[-1] = 1, 2
    columns = [(4, 92), (4, 68), (4, 200), (4, 700), (4, 388), (4, 6)]
    for column, (low, high) in enumerate(columns):
        rows[1:-1, column] = torch.randint(low, high, (notes,), generator=random)
    rows[1:-1] = rows[1:-1][rows[1:-1, 5].sort().indices]
    positions = torch.arange(notes + 2, dtype=torch.float32)
    return ModelInput(rows, positions, torch.randint(64, (prompt, 4), generator=random), frames, noise_key(3, index))


SEQUENCES = [
    sequence(index, *sizes)
    for index, sizes in enumerate(
        [
            (1, 0, 1),
            (20, 9, 8),
            (33, 30, 12),
            (7, 5, 30),
            (40, 70, 9),
            (12, 12, 12),
            (5, 3, 3),
            (28, 18, 20),
            (16, 1, 9),
        ]
    )
]


@pytest.fixture(scope="module", params=[0, 50], ids=["published", "with roll"])
def model(request: pytest.FixtureRequest) -> MidiValle:
    torch.manual_seed(1)
    config = ModelConfig(d_model=64, heads=2, layers=2, codebook_size=64, roll_frame_rate=request.param)
    return MidiValle(config).eval().requires_grad_(False)


def codes_of(
    model: MidiValle,
    sequences: list[ModelInput],
    slots: int,
    sampling: Sampling = GREEDY,
    kernel: VarlenKernel = ONE_BY_ONE,
) -> dict[ModelInput, torch.Tensor]:
    with torch.inference_mode():
        return dict(Engine(PackedRunner(model, slots, kernel, sizes=SIZES)).generate(sequences, sampling))


def test_codes_are_those_of_one_sequence_after_another(model: MidiValle) -> None:
    with torch.inference_mode():
        alone = dict(Engine(SequentialRunner(model, 4)).generate(SEQUENCES, GREEDY))
    packed = codes_of(model, SEQUENCES, 4)
    assert set(packed) == set(SEQUENCES)
    for each, codes in packed.items():
        assert codes.shape == (each.frames, 4)
        assert torch.equal(codes, alone[each]), each.frames


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.1, top_k=20, top_p=0.95)])
def test_codes_do_not_depend_on_slots_order_or_company(model: MidiValle, sampling: Sampling) -> None:
    together = codes_of(model, SEQUENCES, 4, sampling)
    for others, slots in ((SEQUENCES, 1), (SEQUENCES[::-1], 4), (SEQUENCES[3:5], 4), (SEQUENCES, 6)):
        for each, codes in codes_of(model, others, slots, sampling).items():
            assert torch.equal(codes, together[each]), (slots, each.frames)


def test_what_belongs_to_no_sequence_is_never_looked_at(model: MidiValle) -> None:
    def careless(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        asking: Spans,
        asked: Spans,
        used: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """As kernels are: they write nothing there."""
        attended = ONE_BY_ONE.attend(query, key, value, asking, asked, used, causal)
        attended[int(asking.starts[-1]) :] = float("nan")
        return attended

    clean = codes_of(model, SEQUENCES, 4)
    for each, codes in codes_of(model, SEQUENCES, 4, kernel=VarlenKernel("careless", careless)).items():
        assert torch.equal(codes, clean[each])


def test_steps_that_are_recorded_give_the_same_codes_and_work_on_what_they_say(
    model: MidiValle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a recorded step does again is what it did when it was recorded, with tensors that stay where they are."""
    captures = []

    class Recorded:
        def __init__(self, work: Callable[[], None]) -> None:
            self.replay = work

    def record(work: Callable[[], None], other: object) -> Recorded:
        captures.append(work)
        return Recorded(work)

    plain = codes_of(model, SEQUENCES, 4)
    monkeypatch.setattr(packed_runner, "capture_on", lambda device: record)
    recorded = codes_of(model, SEQUENCES, 4)
    assert len(captures) >= 1
    assert all(torch.equal(codes, plain[each]) for each, codes in recorded.items())


@pytest.mark.parametrize("slots", [4])
def test_running_out_of_memory_halves_the_slots_and_changes_no_code(model: MidiValle, slots: int) -> None:
    clean = codes_of(model, SEQUENCES, slots, Sampling())
    for failing in ("prefill", "decode", "complete"):
        runner = PackedRunner(model, slots, ONE_BY_ONE, sizes=SIZES)
        work, calls = getattr(runner, failing), iter(range(100))

        def fail_once(*about: object, work: object = work, calls: Iterator[int] = calls) -> object:
            if next(calls) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return work(*about)  # type: ignore[operator]

        setattr(runner, failing, fail_once)
        with torch.inference_mode():
            found = dict(Engine(runner).generate(SEQUENCES, Sampling()))
        assert runner.slots == slots // 2
        assert all(torch.equal(codes, clean[each]) for each, codes in found.items()) and set(found) == set(clean)


class Crossings(TorchDispatchMode):
    """Counts the operations that touch both the host and the device; what reads a device raises, as there is no data.

    The device is torch's "meta": tensors without content, so that nothing can wait for it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, torch.Tensor)]
        if len({tensor.device.type for tensor in tensors if tensor.ndim}) > 1:
            self.operations[str(function)] += 1
        return result


class StageCrossings:
    """A clock for an engine, which counts the crossings of each stage."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self.entered[stage] += 1
        with Crossings() as crossings:
            yield
        self.operations[stage] += crossings.operations.total()


def on_no_device(model: MidiValle, slots: int) -> PackedRunner:
    def nothing(query: torch.Tensor, *about: object, **more: object) -> torch.Tensor:
        return torch.empty_like(query)

    empty = VarlenKernel("empty", nothing)
    return PackedRunner(copy.deepcopy(model).to("meta"), slots, empty, sizes=SIZES)


@torch.inference_mode()
def test_nobody_waits_for_the_device_and_a_pass_is_given_its_input_in_one_copy(model: MidiValle) -> None:
    runner = on_no_device(model, 2)
    admitted = list(enumerate(SEQUENCES[1:3]))
    rolls = 0 if model.ar_roll is None else len(admitted)
    with Crossings() as prefill:
        runner.prefill(admitted)
    # One for the pack and one for the slots.
    assert prefill.operations.total() == 2 + rolls
    with Crossings() as decode:
        runner.decode([1, 1], Sampling(temperature=1.1, top_k=20, top_p=0.95))
        codes = runner.finish(admitted)
    assert decode.operations.total() == 0
    with Crossings() as complete:
        completed = runner.complete([Drawn(each, of) for (_, each), of in zip(admitted, codes, strict=True)])
    assert complete.operations.total() == 1 + rolls
    assert [tuple(each.shape) for each in completed] == [(20, 4), (33, 4)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_engine_at_work_touches_the_device_only_to_give_it_sequences(model: MidiValle, dtype: torch.dtype) -> None:
    """All of it, from the first sequence to the last, with slots that are refilled."""
    stages = StageCrossings()
    engine = Engine(on_no_device(copy.deepcopy(model).to(dtype), 2), stages)
    with Crossings() as whole:
        found = dict(engine.generate(SEQUENCES, Sampling()))
    assert {each: tuple(codes.shape) for each, codes in found.items()} == {each: (each.frames, 4) for each in SEQUENCES}
    assert all(codes.dtype == torch.int64 and codes.device.type == "meta" for codes in found.values())
    assert stages.entered["decode"] > 20 and stages.entered["prefill"] > 4
    assert stages.operations["decode"] == 0
    assert stages.operations["prefill"] >= 2 * stages.entered["prefill"]
    assert whole.operations.total() == stages.operations.total()


@pytest.mark.parametrize("wrong", [torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.max])
def test_a_host_read_between_two_steps_would_be_found(
    model: MidiValle, wrong: Callable[[torch.Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = PackedRunner.finish

    def reads(runner: PackedRunner, ended: Sequence[tuple[int, ModelInput]]) -> list[torch.Tensor]:
        codes = finish(runner, ended)
        assert not isinstance(read := wrong(codes[0]), torch.Tensor) or int(read) >= 0
        return codes

    monkeypatch.setattr(PackedRunner, "finish", reads)
    with pytest.raises((RuntimeError, NotImplementedError)):
        dict(Engine(on_no_device(model, 2)).generate(SEQUENCES, Sampling()))


@torch.inference_mode()
def test_a_host_read_in_a_step_would_be_found(model: MidiValle, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = on_no_device(model, 2)
    runner.prefill(list(enumerate(SEQUENCES[1:3])))
    wrongs: list[Callable[[SlotTable], object]] = [
        lambda table: int(table.step[0]),
        lambda table: table.step.tolist(),
        lambda table: table.step[table.step > 0],
        lambda table: table.step.cpu(),
        lambda table: bool((table.step > 3).any()),
    ]
    for wrong in wrongs:

        def position(table: SlotTable, wrong: Callable[[SlotTable], object] = wrong) -> torch.Tensor:
            wrong(table)
            return table.step

        monkeypatch.setattr(SlotTable, "position", property(position))
        with pytest.raises((RuntimeError, NotImplementedError)):
            runner.decode([1, 1], GREEDY)
