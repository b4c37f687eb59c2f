"""The course of any training: steps, history, validation, checkpoints, and what a person reads meanwhile."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.console import say
from renderer.training.checkpoints import Checkpoints, replace_file
from renderer.training.curves import curves_svg
from renderer.training.history import History
from renderer.training.team import Team

Figures = dict[str, float]


class Steps(Protocol):
    """What is trained, step by step."""

    def step(self, number: int) -> Figures:
        """Learn from what belongs to a step; losses and other figures."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """``steps`` in all, of which those up to ``stop_at`` are done now. ``..._every`` counts steps; 0 is never."""

    steps: int
    stop_at: int | None
    log_every: int
    checkpoint_every: int
    panels: Mapping[str, tuple[str, ...]]
    score: str


class TrainingLoop:
    """A training in its folder, from its last checkpoint on.

    ``measure`` is asked after each step for figures of a validation, mostly none; the lowest ``score`` among them is
    the best checkpoint, at which ``keep`` writes what was trained. ``pace`` says how fast it goes.
    """

    def __init__(
        self,
        training: Steps,
        checkpoints: Checkpoints,
        settings: LoopSettings,
        measure: Callable[[int, bool], Figures],
        keep: Callable[[int, History, Figures], None],
        pace: Callable[[int, float], str],
    ) -> None:
        self.training, self.checkpoints, self.settings = training, checkpoints, settings
        self.measure, self.keep, self.pace = measure, keep, pace
        self.step = checkpoints.restore()

    def run(self, team: Team, is_stopped: Callable[[], bool]) -> int:
        """Do this process's part of the training, as the leader or not; the number of steps done."""
        team.check_alike(self.step)
        return self.lead(is_stopped) if team.rank == 0 else self.follow(is_stopped)

    def follow(self, is_stopped: Callable[[], bool]) -> int:
        """Do the steps of a process that does not lead."""
        while self.step < self._last and not is_stopped():
            self.training.step(self.step)
            self.step += 1
        return self.step

    def lead(self, is_stopped: Callable[[], bool]) -> int:
        """Train to the end, or until told to stop; the number of steps done."""
        out, last = self.checkpoints.folder, self._last
        history = History(out / "history.jsonl", self.step)
        before, begin = history.seconds, time.perf_counter()
        busy, counted = 0.0, 0
        while self.step < last and not is_stopped():
            mark = time.perf_counter()
            figures = self.training.step(self.step)
            self.step += 1
            busy, counted = busy + time.perf_counter() - mark, counted + 1
            history.add(self.step, before + time.perf_counter() - begin, **figures)
            if self.step % self.settings.log_every == 0:
                say(f"step {self.step}: {_listed(figures)}; {self.pace(counted, busy)}")
                busy, counted = 0.0, 0
            if valid := self.measure(self.step, self.step == last):
                history.add(self.step, before + time.perf_counter() - begin, **valid)
                say(f"step {self.step}: {_listed(valid)}")
                self._draw(out, history)
            if valid or self.step == last or self.step % self.settings.checkpoint_every == 0:
                is_best = self.checkpoints.save(self.step, valid.get(self.settings.score))
                if is_best or (self.step == last and self.checkpoints.best is None):
                    self.keep(self.step, history, valid)
        if self.step < last:
            self.checkpoints.save(self.step)
        self._draw(out, history)
        return self.step

    @property
    def _last(self) -> int:
        return min(self.settings.steps, self.settings.stop_at or self.settings.steps)

    def _draw(self, out: Path, history: History) -> None:
        replace_file(out / "curves.svg", curves_svg(history.records, self.settings.panels).encode())


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
