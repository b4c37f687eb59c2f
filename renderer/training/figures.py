"""Figures of training steps, which stay on the device until somebody reads many of them at once."""

import math
from collections.abc import Mapping, Sequence

import torch

from renderer.errors import TrainingError

StepFigures = Mapping[str, torch.Tensor | float]
"""Losses and other figures of a step by their names; tensors are () and may still be under way."""


def read_figures(steps: Sequence[StepFigures], first: int = 0) -> list[dict[str, float]]:
    """The figures of steps from number ``first`` on, once the device has them.

    TrainingError if one of them is not finite: from there on there is nothing to be learned.
    """
    tensors = [value for figures in steps for value in figures.values() if isinstance(value, torch.Tensor)]
    read = iter(torch.stack([tensor.detach().float() for tensor in tensors]).tolist() if tensors else ())
    found = []
    for number, figures in enumerate(steps, first):
        values = {name: next(read) if isinstance(value, torch.Tensor) else value for name, value in figures.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(f"step {number}: {name} is {value}; a lower learning rate may help")
        found.append(values)
    return found
