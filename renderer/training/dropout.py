"""Dropout for a network that has none of its own, as inference does not need it."""

from typing import Any

from torch import nn
from torch.nn import functional

from renderer.model.layers import SelfAttention, SinePosition
from renderer.model.midi_valle import MidiValle


def add_dropout(model: MidiValle, rate: float) -> None:
    """From now on, while ``model`` is in training mode, drop what the published network drops.

    That is: the inputs with their positions, what attention and feed-forward add, and the feed-forward's hidden
    layer. Attention weights are left whole.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the dropout rate is {rate}; it must be 0 or more, and below 1")
    if rate == 0:
        return

    def drop_output(module: nn.Module, inputs: Any, output: Any) -> Any:
        return functional.dropout(output, rate, module.training)

    def drop_input(module: nn.Module, inputs: Any) -> Any:
        return (functional.dropout(inputs[0], rate, module.training),)

    for name, module in model.named_modules():
        if isinstance(module, SinePosition | SelfAttention):
            module.register_forward_hook(drop_output)
        elif name.endswith(".linear2"):
            module.register_forward_pre_hook(drop_input)
            module.register_forward_hook(drop_output)
