"""Losses of one output whose weights mean what they say, whatever their scales (arXiv 2210.13438, section 3.4)."""

from collections.abc import Mapping

import torch
from torch import distributed

from renderer.training.team import Team


class GradientBalance:
    """Gives each loss its share of the gradient that reaches the output.

    ``weights`` are the shares, by the losses' names. A gradient's size is its norm's moving average; ``by_item``, the
    norm is the mean over the batch's items, and a ``team`` has one for all its processes.
    """

    def __init__(
        self, weights: Mapping[str, float], decay: float = 0.99, by_item: bool = False, team: Team | None = None
    ) -> None:
        self.weights, self.decay, self.by_item, self.team = dict(weights), decay, by_item, team or Team()
        self.sizes: dict[str, float] = {}
        self.updates: dict[str, int] = {}

    def backward(self, losses: Mapping[str, torch.Tensor], output: torch.Tensor) -> None:
        """Go backward from the balanced sum of the losses, which all are functions of ``output`` alone."""
        total = torch.zeros_like(output)
        weight = sum(self.weights[name] for name in losses)
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
            size = self._size(name, self._norm(gradient))
            total += gradient * (self.weights[name] / weight / max(size, 1e-12))
        output.backward(total)

    def _norm(self, gradient: torch.Tensor) -> float:
        if not self.by_item:
            return float(gradient.norm())
        norm = gradient.flatten(1).norm(dim=1).mean() / self.team.size
        if self.team.size > 1:
            distributed.all_reduce(norm)
        return float(norm)

    def _size(self, name: str, norm: float) -> float:
        """The moving average of a norm, as it is with this one; the first ones count in full."""
        updates = self.updates.get(name, 0)
        decay = min(self.decay, updates / (updates + 1))
        self.sizes[name] = decay * self.sizes.get(name, 0.0) + (1 - decay) * norm
        self.updates[name] = updates + 1
        return self.sizes[name]

    def state_dict(self) -> dict[str, object]:
        """The moving averages."""
        return {"sizes": self.sizes, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, dict[str, float]]) -> None:
        """Go on from a checkpoint."""
        self.sizes = dict(state["sizes"])
        self.updates = {name: int(count) for name, count in state["updates"].items()}
