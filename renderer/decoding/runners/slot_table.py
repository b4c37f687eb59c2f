"""What the slots of a step hold besides the cache, where a step never hears of the host which of them are in use."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from renderer.decoding.model_input import ModelInput
from renderer.transfer import sent


class SlotTable:
    """Columns (rows,) int64 of one tensor; a row's sequence, if it has one, ends by itself after its last frame.

    ``codes`` (rows, steps + 1), and the frames' ``conditioning`` (rows, steps + 1, d) where a model has one, grow with
    the longest sequence; what belongs to no sequence goes to the last column.
    """

    def __init__(self, rows: int, steps: int, device: torch.device, conditioning: torch.Tensor | None) -> None:
        self._table = torch.zeros(6, rows, dtype=torch.int64, device=device)
        self.codes = torch.zeros(rows, steps + 1, dtype=torch.int64, device=device)
        self.conditioning = (
            None if conditioning is None else conditioning.new_zeros(rows, steps + 1, conditioning.shape[-1])
        )
        self._rows = torch.arange(rows, device=device)
        self.code, self.step, self.frames, self.key, self.prefix, self.first = self._table.unbind()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that a step reads and writes."""
        kept = self._table, self.codes, self._rows
        return kept if self.conditioning is None else (*kept, self.conditioning)

    def clear(self) -> None:
        """Free all slots."""
        self._table.zero_()

    def move(self, source: int, target: int) -> None:
        """Let a free slot go on with what another holds, which becomes free."""
        self._table[:, target] = self._table[:, source]
        self.codes[target] = self.codes[source]
        if self.conditioning is not None:
            self.conditioning[target] = self.conditioning[source]
        self._table[:, source] = 0

    def admit(self, admitted: Sequence[tuple[int, ModelInput]], conditioning: Sequence[torch.Tensor | None]) -> None:
        """Set slots to their sequences' first steps; ``conditioning``, if any, is (prompt and frames, d) of each."""
        longest = max(sequence.frames for _, sequence in admitted)
        if (more := longest + 1 - self.codes.shape[1]) > 0:
            self.codes = F.pad(self.codes, (0, more))
            self.conditioning = None if self.conditioning is None else F.pad(self.conditioning, (0, 0, 0, more))
        columns = torch.tensor(
            [
                [int(each.prompt[-1, 0]), 0, each.frames, each.key, each.prefix, len(each.prompt) - 1]
                for _, each in admitted
            ]
        )
        slots, columns = sent([torch.tensor([slot for slot, _ in admitted]), columns.T.contiguous()], self.codes.device)
        self._table.index_copy_(1, slots, columns)
        for (slot, sequence), of_frames in zip(admitted, conditioning, strict=True):
            if self.conditioning is not None and of_frames is not None:
                # A step reads the frame before the one that it draws.
                self.conditioning[slot, : sequence.frames] = of_frames[len(sequence.prompt) - 1 :][: sequence.frames]

    @property
    def frame(self) -> torch.Tensor:
        """Where each row's step stands among the frames, the prompt's included: it reads the one before."""
        return self.first + self.step

    @property
    def position(self) -> torch.Tensor:
        """Where in the cache each row's step stands; a free one is at the first position, which costs least."""
        return torch.where(self.step < self.frames, self.prefix + self.step, 0)

    def next_conditioning(self) -> torch.Tensor | None:
        """The conditioning of each row's frame at this step, (rows, 1, d)."""
        return None if self.conditioning is None else self.conditioning[self._rows, self._column()][:, None]

    def record(self, code: torch.Tensor) -> None:
        """Keep the codes drawn at this step and move on; free rows stay where they are."""
        self.code.copy_(code)
        self.codes[self._rows, self._column()] = code
        self.step += self.step < self.frames

    def _column(self) -> torch.Tensor:
        return torch.where(self.step < self.frames, self.step, self.codes.shape[1] - 1)
