"""What the engine needs of whoever runs the model's passes, on whichever device."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

from renderer.decoding.model_input import ModelInput
from renderer.decoding.sampling import Sampling


class Drawn(NamedTuple):
    """A sequence whose codes of codebook 0 are drawn, (frames,) int64 on the device; the others are not."""

    sequence: ModelInput
    codes: torch.Tensor


class ModelRunner(Protocol):
    """Runs the passes of one model on one device, for sequences in a fixed number of ``slots``.

    It decides how passes are run, never which: that is the scheduler's. It may run the sequences that it is given in
    one pass or one by one, but what is beside a sequence, in which slot it is, and what was there before never change
    its codes. It is called by one thread, in inference mode, in this order for each sequence: ``prefill``, ``decode``
    until all its ``frames`` are drawn, ``finish``, ``complete``. Results may be under way on the device: who
    reads them waits.

    A call may run out of memory: ``renderer.device.is_out_of_memory`` tells so by what it raises. After any error the
    slots hold nothing of use, and ``reset`` is called before anything else; what ``finish`` gave stays good.

    The engine keeps to its numbers, which say what is worth it on the device.
    """

    @property
    def slots(self) -> int:
        """How many sequences are decoded side by side."""
        ...

    @property
    def steps_at_once(self) -> int:
        """Steps that a call of ``decode`` makes. Slots are refilled between calls alone."""
        ...

    @property
    def prefills_at_once(self) -> int:
        """So many slots are left to become free before they are refilled, unless all are free."""
        ...

    @property
    def completes_at_once(self) -> int:
        """So many sequences are collected for a call of ``complete``, which is never given more.

        It is given fewer where nothing else is left.
        """
        ...

    @property
    def computes_free_slots(self) -> bool:
        """Whether free slots cost as much as filled ones. If not, filled ones are moved to the front."""
        ...

    def reset(self, slots: int) -> None:
        """Begin with so many empty slots, whatever they held. Weights stay where they are."""
        ...

    def prefill(self, admitted: Sequence[tuple[int, ModelInput]]) -> None:
        """Set free slots to the first steps of their sequences.

        MIDI rows and the prompt's codes go through the AR decoder, but for the last prompt frame, which the first step
        reads; slots differ from one another, and others may be under way.
        """
        ...

    def move(self, source: int, target: int) -> None:
        """Let a free slot go on with what another holds, which becomes free."""
        ...

    def decode(self, lengths: Sequence[int], sampling: Sampling) -> None:
        """Draw the next ``steps_at_once`` codes of codebook 0 in every filled slot; never the end code.

        ``lengths`` has a number for each slot: the cache positions that it has in use once the first of these steps
        has written its own; 0 in free slots, whose content may change. A slot may be stepped beyond its sequence's
        last frame, as far as it shares a call with it.
        """
        ...

    def finish(self, ended: Sequence[tuple[int, ModelInput]]) -> list[torch.Tensor]:
        """The codes (frames,) int64 that slots drew for their sequences, for good; the slots are free from then on."""
        ...

    def complete(self, drawn: Sequence[Drawn]) -> list[torch.Tensor]:
        """All codes (frames, K) int64 of each, a non-autoregressive stage for each further codebook."""
        ...
