"""How the learning rate goes up and down."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

Decay = Literal["cosine", "inverse-sqrt", "constant"]


@dataclass(frozen=True)
class LearningRate:
    """A linear warm-up to ``peak``, then a decay to ``floor`` times the peak.

    ``cosine`` reaches the floor at step ``steps``; ``inverse-sqrt`` falls with the root of the step, whatever
    ``steps`` is, and stays at the floor once it is there; ``constant`` stays at the peak.
    """

    peak: float
    warmup: int
    steps: int
    decay: Decay = "cosine"
    floor: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.peak < float("inf"):
            raise ValueError(f"the peak learning rate is {self.peak}; it must be more than 0")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"the floor of the learning rate is {self.floor} of the peak; it must be 0 to 1")
        if self.decay not in get_args(Decay):
            raise ValueError(f"the decay is {self.decay!r}; it must be one of {', '.join(get_args(Decay))}")
        if self.steps < 1 or not 0 <= self.warmup <= self.steps:
            raise ValueError(f"{self.warmup} steps of warm-up do not fit a training of {self.steps} steps")

    def at(self, step: int) -> float:
        """The rate of a step; steps count from 0, and the first is not 0."""
        done = step + 1
        if done <= self.warmup:
            return self.peak * done / self.warmup
        if self.decay == "constant":
            return self.peak
        if self.decay == "inverse-sqrt":
            return self.peak * max(self.floor, math.sqrt(max(1, self.warmup) / done))
        progress = min(1.0, (done - self.warmup) / max(1, self.steps - self.warmup))
        return self.peak * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step of an optimizer go this fast."""
    for group in optimizer.param_groups:
        group["lr"] = rate
