import torch

from renderer.captured_step import CapturedStep


def test_on_a_cpu_every_step_is_run_as_it_is() -> None:
    extents: list[int] = []
    step = CapturedStep(extents.append, lambda: (), torch.device("cpu"))
    for extent in (64, 64, 128, 64):
        step(extent)
    assert extents == [64, 64, 128, 64]
