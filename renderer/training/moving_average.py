"""The moving average of a network's weights, which is better than the weights of any one step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import _foreach_lerp_, nn  # As torch.optim.swa_utils does: all weights in a few launches.


class MovingAverage:
    """An exponential moving average over the state dict of a module, buffers included.

    Early on, the average is over the steps so far: the decay of update n is min(``decay``, (1 + n) / (10 + n)).
    What is not floating-point is copied.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of the moving average is {decay}; it must be 0 or more, and below 1")
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's weights as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        state = module.state_dict()
        learned = [name for name, value in state.items() if value.is_floating_point()]
        _foreach_lerp_([self.weights[name] for name in learned], [state[name] for name in learned], 1 - decay)
        for name in state.keys() - learned:
            self.weights[name].copy_(state[name])
        self.updates += 1

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within the block the module has the average as its weights; afterwards its own again."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.weights)
        try:
            yield
        finally:
            module.load_state_dict(own)

    def state_dict(self) -> dict[str, object]:
        """All of it, as a checkpoint keeps it."""
        return {"weights": self.weights, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a checkpoint."""
        weights, updates = state["weights"], state["updates"]
        assert isinstance(weights, dict) and isinstance(updates, int)
        for name, value in self.weights.items():
            value.copy_(weights[name])
        self.updates = updates
