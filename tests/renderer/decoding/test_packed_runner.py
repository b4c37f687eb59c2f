"""Many sequences in one pass: each comes out as if it were alone, and nobody waits for the device. On the CPU."""

from collections.abc import Iterator

import pytest
import torch

from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.decoding.runners.sequential_runner import SequentialRunner
from renderer.decoding.sampling import Sampling, noise_key
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.varlen import ONE_BY_ONE, Spans, VarlenKernel

GREEDY = Sampling(temperature=0)
SIZES = PackedSizes(step=6, prefill=96, complete=192, positions=64, frames=16, steps=4, prefills=2, completes=3)


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
        [(1, 0, 1), (20, 9, 8), (33, 30, 12), (7, 5, 30), (40, 70, 9), (12, 12, 12), (5, 3, 3), (28, 18, 20), (16, 1, 9)]
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
