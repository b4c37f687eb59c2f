"""What the slots of the autoregressive step hold besides the cache."""

from copy import copy

import torch
from torch.nn import functional as F

from renderer.decoding.model_input import ModelInput


class SlotState:
    """Tensors (slots,) int64, so that a step never asks the device.

    All stay where they are but ``codes`` (slots, steps), and the frames' ``conditioning`` (slots, steps, d) where a
    model has one: these grow with the longest sequence.
    """

    def __init__(self, slots: int, device: torch.device, conditioning: torch.Tensor | None) -> None:
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self.code, self.step, self.key, self.prefix = (zeros.clone() for _ in range(4))
        self.prompt_frames = zeros + 1
        self.active = zeros.clone()
        self.codes = torch.zeros(slots, 1, dtype=torch.int64, device=device)
        self.conditioning = conditioning
        self._slots = torch.arange(slots, device=device)

    def clear(self) -> None:
        """Free all slots, whatever was under way in them."""
        for tensor in (self.step, self.prefix, self.active):
            tensor.zero_()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that a step reads and writes."""
        return tuple(value for value in vars(self).values() if isinstance(value, torch.Tensor))

    def of_first(self, slots: int) -> "SlotState":
        """The same of the first slots alone; what is written there is written here."""
        if slots == len(self.code):
            return self
        part = copy(self)
        for name, tensor in vars(self).items():
            setattr(part, name, None if tensor is None else tensor[:slots])
        return part

    def move(self, source: int, target: int) -> None:
        """Let a free slot go on with what another holds, which becomes free."""
        for tensor in self.tensors:
            if tensor is not self._slots:
                tensor[target] = tensor[source]
        self.active[source] = 0

    def admit(self, slot: int, sequence: ModelInput, conditioning: torch.Tensor | None) -> None:
        """Set a slot to a sequence's first step; ``conditioning`` is (1, at least frames, d)."""
        if (more := sequence.frames - self.codes.shape[1]) > 0:
            self.codes = F.pad(self.codes, (0, more))
            self.conditioning = (
                self.conditioning if self.conditioning is None else F.pad(self.conditioning, (0, 0, 0, more))
            )
        if self.conditioning is not None and conditioning is not None:
            self.conditioning[slot, : sequence.frames] = conditioning[0, : sequence.frames]
        self.code[slot] = sequence.prompt[-1, 0]
        self.step[slot] = 0
        self.active[slot] = 1
        self.key[slot] = sequence.key
        self.prefix[slot] = sequence.prefix
        self.prompt_frames[slot] = len(sequence.prompt)

    def finish(self, slot: int, sequence: ModelInput) -> torch.Tensor:
        """The codes (frames,) that a slot drew; it is free, and stays at its place until the next sequence comes."""
        self.active[slot] = 0
        return self.codes[slot, : sequence.frames].clone()

    def next_conditioning(self) -> torch.Tensor | None:
        """The conditioning of each slot's frame at this step, (slots, 1, d)."""
        return None if self.conditioning is None else self.conditioning[self._slots, self._place()][:, None]

    def record(self, code: torch.Tensor) -> None:
        """Keep the codes drawn at this step and move on; free slots stay where they are."""
        self.code.copy_(code)
        self.codes[self._slots, self._place()] = code
        self.step += self.active

    def _place(self) -> torch.Tensor:
        """Where a slot's step lies in ``codes`` and the rest; a free slot's may lie behind, where it does no harm."""
        return self.step.clamp(max=self.codes.shape[1] - 1)
