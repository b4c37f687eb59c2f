"""What each step of the language model's training learns from, prepared ahead by other processes."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from renderer.training.packing import Lesson, PackedWindows
from renderer.training.randomness import random_at, shuffled
from renderer.training.windows import WindowPlan, Windows

NAR_PREFIX = (0.25, 0.5)
"""The share of a window that the NAR decoder is given in training, as published; at most the prompt's length."""

_AHEAD = 2
"""Steps that each process prepares ahead."""


@dataclass(frozen=True)
class StepSettings:
    """A step's ``batch`` windows, of which a process computes ``micro_batch`` at a time: for the AR decoder, the NAR
    decoder, or both. Each window trains one NAR stage, or, with ``all_stages``, all.
    """

    batch: int
    micro_batch: int
    trains_ar: bool
    trains_nar: bool
    all_stages: bool
    train_end: bool
    seed: int


@dataclass(frozen=True)
class Share:
    """Windows that a decoder learns from in one go: the AR decoder, or these ``stages`` of the NAR decoder."""

    pack: PackedWindows
    stages: tuple[int, ...] | None
    number: int

    def pin_memory(self) -> "Share":
        """See ``PackedWindows``."""
        return Share(self.pack.pin_memory(), self.stages, self.number)


@dataclass(frozen=True)
class StepWork:
    """One process's shares of a step, and how many codes each decoder predicts in all processes' together."""

    shares: tuple[Share, ...]
    codes: dict[str, int]

    def pin_memory(self) -> "StepWork":
        """See ``PackedWindows``."""
        return StepWork(tuple(share.pin_memory() for share in self.shares), self.codes)


class ModelSteps(Dataset[StepWork]):
    """The work of each step, by its number: for process ``rank`` of ``size``."""

    def __init__(self, windows: Windows, settings: StepSettings, rank: int = 0, size: int = 1) -> None:
        self.windows, self.settings, self.rank, self.size = windows, settings, rank, size
        self._stages = windows.config.codebooks - 1

    def __getitem__(self, step: int) -> StepWork:
        settings = self.settings
        plans = [self.windows.plan(step * settings.batch + index) for index in range(settings.batch)]
        own = plans[self.rank :: self.size]
        shares: list[Share] = []
        for begin in range(0, len(own), settings.micro_batch):
            shares += self._shares(own[begin : begin + settings.micro_batch])
        return StepWork(tuple(shares), self._codes(plans))

    def _shares(self, plans: Sequence[WindowPlan]) -> Iterator[Share]:
        windows = {plan.number: self.windows.window(plan) for plan in plans}

        def share(alike: Sequence[WindowPlan], stages: tuple[int, ...] | None) -> Share:
            lesson = Lesson(
                prefixes=[self._prefix(plan) for plan in alike],
                end_code=self.windows.config.end_code,
                train_end=self.settings.train_end,
            )
            pack = PackedWindows.of([windows[plan.number] for plan in alike], lesson)
            return Share(pack, stages, alike[0].number)

        if self.settings.trains_ar:
            yield share(plans, None)
        if self.settings.trains_nar:
            by_stages = defaultdict(list)
            for plan in plans:
                by_stages[self._stages_of(plan)].append(plan)
            for stages, alike in sorted(by_stages.items()):
                yield share(alike, stages)

    def _stages_of(self, plan: WindowPlan) -> tuple[int, ...]:
        if self.settings.all_stages:
            return tuple(range(self._stages))
        return (shuffled(plan.number, self._stages, self.settings.seed, "nar"),)

    def _prefix(self, plan: WindowPlan) -> int:
        """How many frames of a window the NAR decoder is given."""
        if not plan.is_prompted:
            return self.windows.prompt_frames
        share = random_at(self.settings.seed, "prefix", plan.number).uniform(*NAR_PREFIX)
        return min(int((self.windows.prompt_frames + plan.frames) * share), self.windows.prompt_frames)

    def _codes(self, plans: Sequence[WindowPlan]) -> dict[str, int]:
        prompt, codes = self.windows.prompt_frames, {}
        if self.settings.trains_ar:
            unprompted = sum(not plan.is_prompted for plan in plans)
            frames = sum(prompt + plan.frames for plan in plans) - unprompted * prompt
            codes["ar"] = frames - (len(plans) - unprompted) + self.settings.train_end * len(plans)
        if self.settings.trains_nar:
            codes["nar"] = sum(
                (prompt + plan.frames - self._prefix(plan)) * len(self._stages_of(plan)) for plan in plans
            )
        return codes


class StepsAhead:
    """The work of steps in their order, read ahead by ``readers`` processes, or by a thread of this one if 0.

    Processes are forked: the source of the windows must be memory alone. Pinned memory is for a device that is fed
    from it.
    """

    def __init__(self, steps: ModelSteps, readers: int, is_pinned: bool) -> None:
        self._steps, self._readers, self._is_pinned = steps, readers, is_pinned
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._next: tuple[int, Future[StepWork]] | None = None

    def __call__(self, number: int) -> StepWork:
        """The work of a step; the next one is that of the step after it, else what was read ahead is lost."""
        if self._next is None or self._next[0] != number:
            self._works = iter(self._loader(number))
            self._next = number, self._pool.submit(next, self._works)
        work = self._next[1].result()
        self._next = number + 1, self._pool.submit(next, self._works)
        return work

    def _loader(self, begin: int) -> "DataLoader[StepWork]":
        return DataLoader(
            self._steps,
            batch_size=None,
            sampler=_From(begin),
            num_workers=self._readers,
            prefetch_factor=_AHEAD if self._readers else None,
            multiprocessing_context="fork" if self._readers else None,
            pin_memory=self._is_pinned,
        )


class _From:
    """All numbers from one on."""

    def __init__(self, begin: int) -> None:
        self.begin = begin

    def __iter__(self) -> Iterator[int]:
        number = self.begin
        while True:
            yield number
            number += 1


def choose_readers(readers: int | None, device: torch.device) -> int:
    """``None`` becomes one for each processor but one where a GPU is to be kept busy, else 0."""
    if readers is not None:
        return readers
    return max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0
