"""The course of any training: steps, history, validation, checkpoints, and what a person reads meanwhile."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.console import say
from jobs.training.timetable import Timetable
from renderer.training.checkpoints import Checkpoints, replace_file
from renderer.training.curves import curves_svg
from renderer.training.figures import StepFigures, read_figures
from renderer.training.history import History
from renderer.training.team import Team

Figures = dict[str, float]


class Steps(Protocol):
    """What is trained, step by step."""

    def step(self, number: int) -> StepFigures:
        """Learn from what belongs to a step; losses and other figures."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What is drawn in which panel, and which figure of a validation is the score."""

    panels: Mapping[str, tuple[str, ...]]
    score: str


class TrainingLoop:
    """A training in its folder, from its last checkpoint on.

    ``measure`` is asked after each step for figures of a validation, mostly none; the lowest ``score`` among them is
    the best checkpoint, at which ``keep`` writes what was trained. ``pace`` says how fast it goes. Steps are
    queued on a device, and may still be under way: nobody waits for them but when the timetable says so.
    """

    def __init__(
        self,
        training: Steps,
        checkpoints: Checkpoints,
        timetable: Timetable,
        settings: LoopSettings,
        measure: Callable[[int], Figures],
        keep: Callable[[int, History, Figures], None],
        pace: Callable[[int, float], str],
    ) -> None:
        self.training, self.checkpoints, self.timetable, self.settings = training, checkpoints, timetable, settings
        self.measure, self.keep, self.pace = measure, keep, pace
        self.step = checkpoints.restore()

    def run(self, team: Team, is_stopped: Callable[[], bool]) -> bool:
        """Do this process's part of the training, as the leader or not; whether all steps are done."""
        team.check_alike(self.step)
        done = self.lead(is_stopped) if team.rank == 0 else self.follow(is_stopped)
        return done >= self.timetable.last

    def follow(self, is_stopped: Callable[[], bool]) -> int:
        """Do the steps of a process that does not lead."""
        while self.step < self.timetable.last and not is_stopped():
            self.training.step(self.step)
            self.step += 1
        return self.step

    def lead(self, is_stopped: Callable[[], bool]) -> int:
        """Train to the end, or until asked to stop; the number of steps done."""
        out, timetable = self.checkpoints.folder, self.timetable
        history = History(out / "history.jsonl", self.step)
        queued = _QueuedSteps(history, self.step)
        spent, counted, mark = 0.0, 0, time.perf_counter()
        while self.step < timetable.last and not is_stopped():
            queued.add(self.training.step(self.step))
            self.step, counted = self.step + 1, counted + 1
            if not timetable.reads(self.step):
                continue
            figures = queued.read()
            spent += time.perf_counter() - mark
            if timetable.note(self.step, queued.seconds):
                history.add(self.step, queued.total, planned_steps=timetable.steps)
                say(f"step {self.step}: {timetable.steps:,} steps fit into the time; {self.pace(counted, spent)}")
                spent, counted = 0.0, 0
            elif timetable.is_due(timetable.log_every, self.step):
                say(f"step {self.step}: {_listed(figures)}; {self.pace(counted, spent)}")
                spent, counted = 0.0, 0
            mark = time.perf_counter()
            if valid := self.measure(self.step):
                history.add(self.step, queued.total, **valid)
                say(f"step {self.step}: {_listed(valid)}")
                self._draw(out, history)
            is_last = self.step == timetable.last
            if valid or is_last or timetable.is_due(timetable.checkpoint_every, self.step):
                is_best = self.checkpoints.save(self.step, valid.get(self.settings.score))
                if is_best or (is_last and self.checkpoints.best is None):
                    self.keep(self.step, history, valid)
            if valid:
                timetable.note_validation(time.perf_counter() - mark)
            mark = time.perf_counter()
        queued.read()
        if self.step < timetable.last:
            self.checkpoints.save(self.step)
        self._draw(out, history)
        return self.step

    def _draw(self, out: Path, history: History) -> None:
        replace_file(out / "curves.svg", curves_svg(history.records, self.settings.panels).encode())


class _QueuedSteps:
    """Steps that are queued on the device, from number ``step`` on, and when."""

    def __init__(self, history: History, step: int) -> None:
        self._history, self._step = history, step
        self._before, self._begin = history.seconds, time.perf_counter()
        self._steps: list[tuple[float, StepFigures]] = []

    @property
    def seconds(self) -> float:
        """Since the beginning of this call of the training."""
        return time.perf_counter() - self._begin

    @property
    def total(self) -> float:
        """Seconds of training in all."""
        return self._before + self.seconds

    def add(self, figures: StepFigures) -> None:
        """One more."""
        self._steps.append((self.total, figures))

    def read(self) -> Figures:
        """Write all down, as soon as they are done; the last one's figures."""
        read = read_figures([figures for _, figures in self._steps], self._step)
        for (seconds, _), figures in zip(self._steps, read, strict=True):
            self._step += 1
            self._history.add(self._step, seconds, **figures)
        self._steps = []
        return read[-1] if read else {}


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
