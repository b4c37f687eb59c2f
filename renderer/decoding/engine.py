"""Sequences in, codes out: the scheduler says which run together, the runner runs them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch

from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.runner import Drawn, ModelRunner
from renderer.decoding.sampling import Sampling
from renderer.decoding.schedule import Occupancy, Scheduler
from renderer.device import is_out_of_memory

Clock = Callable[[str], AbstractContextManager[None]]


def untimed(stage: str) -> AbstractContextManager[None]:
    """The clock of every run that is not a benchmark."""
    return nullcontext()


class Generated(NamedTuple):
    """A sequence and its codes (frames, K) int64."""

    sequence: ModelInput
    codes: torch.Tensor


class Engine:
    """Generates codes, as many sequences at a time as the runner has slots.

    Add sequences while there is ``room``, and make steps until it ``is_idle``. Where memory runs out, the batch is
    halved for good and what was under way begins anew; its codes stay the same. After any other error nothing is under
    way. ``clock`` is entered around the stages ``prefill``, ``decode`` and ``complete`` (renderer/stopwatch.py).
    """

    def __init__(self, runner: ModelRunner, clock: Clock = untimed) -> None:
        self.runner = runner
        self.clock = clock
        self._scheduler: Scheduler[ModelInput] = Scheduler(runner.slots)
        self._drawn: list[Drawn] = []
        self._finished: list[Generated] = []

    @property
    def batch_size(self) -> int:
        """How many sequences are generated side by side."""
        return self.runner.slots

    @property
    def occupancy(self) -> Occupancy:
        """How many steps the slots made so far, and how many of them served a sequence."""
        return self._scheduler.occupancy

    @property
    def room(self) -> int:
        """How many more sequences would find a free slot."""
        return self._scheduler.room

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        return self._scheduler.is_idle and not self._drawn and not self._finished

    def add(self, sequence: ModelInput) -> None:
        """Generate a sequence as soon as there is a slot for it."""
        self._scheduler.add(sequence)

    @torch.inference_mode()
    def step(self, sampling: Sampling) -> list[Generated]:
        """Let every sequence make a step, or as many as the runner makes at once; what finished with it."""
        try:
            self._decode(sampling)
            self._complete()
        except Exception as error:
            if self.batch_size == 1 or not is_out_of_memory(error):
                self.clear()
                raise
        else:
            finished, self._finished = self._finished, []
            return finished
        self._scheduler.halve()
        self.runner.reset(self.batch_size // 2)
        return []

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop all that is under way."""
        self._scheduler.clear()
        self._drawn.clear()
        self._finished.clear()
        self.runner.reset(self.batch_size)

    def generate(self, sequences: Iterable[ModelInput], sampling: Sampling) -> Iterator[Generated]:
        """Sequences, taken as there is room for them, with their codes, in the order in which they finish."""
        left = iter(sequences)
        while True:
            while self.room and (sequence := next(left, None)) is not None:
                self.add(sequence)
            if self.is_idle:
                return
            yield from self.step(sampling)

    def frames_drawn(self) -> Iterator[tuple[ModelInput, int]]:
        """What is under way, and how many of its frames have their code of codebook 0."""
        yield from self._scheduler.steps_made()
        for sequence, codes in (*self._drawn, *self._finished):
            yield sequence, len(codes)

    def _decode(self, sampling: Sampling) -> None:
        scheduler, runner = self._scheduler, self.runner
        if admitted := scheduler.admit(runner.prefills_at_once):
            with self.clock("prefill"):
                runner.prefill(admitted)
        if not scheduler.filled:
            return
        with self.clock("decode"):
            if not runner.computes_free_slots:
                for source, target in scheduler.close_gaps():
                    runner.move(source, target)
            runner.decode(scheduler.lengths, sampling)
        if ended := scheduler.advance(runner.steps_at_once):
            codes = runner.finish(ended)
            scheduler.release(slot for slot, _ in ended)
            self._drawn += [Drawn(sequence, first) for (_, sequence), first in zip(ended, codes, strict=True)]

    def _complete(self) -> None:
        at_once = self.runner.completes_at_once
        while len(self._drawn) >= at_once or (self._drawn and self._scheduler.is_idle):
            some = self._drawn[:at_once]
            with self.clock("complete"):
                codes = self.runner.complete(some)
            self._finished += [Generated(drawn.sequence, each) for drawn, each in zip(some, codes, strict=True)]
            del self._drawn[:at_once]
