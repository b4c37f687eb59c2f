"""Several processes that share the work of each training step."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn

from renderer.errors import TrainingError


@dataclass(frozen=True)
class Team:
    """Processes joined by torch.distributed, of which this one is number ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    def check_alike(self, step: int) -> None:
        """TrainingError if the processes do not all begin at the same step, as where they do not share a folder."""
        steps = [step] * self.size
        if self.size > 1:
            distributed.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise TrainingError(f"the workers go on from different steps, {steps}: all must see the same folder")

    def add_up(self, parameters: Iterable[nn.Parameter], figures: dict[str, torch.Tensor]) -> None:
        """Add up the gradients and figures () of all processes, in place.

        A parameter without a gradient, as of a stage that nothing in a process's share has drawn, counts as zeros.
        """
        if self.size == 1:
            return
        gradients = [_gradient(parameter) for parameter in parameters]
        values = [figure.detach().float().to(gradients[0].device) for figure in figures.values()]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.stack(values)])
        distributed.all_reduce(flat)
        *parts, sums = flat.split([*(gradient.numel() for gradient in gradients), len(figures)])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        figures.update(zip(figures, sums.unbind(), strict=True))


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
