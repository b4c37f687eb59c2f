import torch

from renderer.decoding.captured_step import CapturedStep


def test_on_a_cpu_every_step_is_run_as_it_is() -> None:
    done: list[tuple[int, ...]] = []
    step = CapturedStep(done.append, lambda: (), torch.device("cpu"))
    wanted = [(64,), (64,), (128, 64), (64,)]
    for extents in wanted:
        step(extents)
    assert done == wanted
