"""The training of the language model: in this process, or in several of Ray Train's."""

from collections.abc import Callable

from jobs.training.processes import train_in_processes
from jobs.training.train_options import TrainOptions
from jobs.training.train_work import TrainWork
from renderer.training.team import Team


def train_model(options: TrainOptions) -> int:
    """Train, or go on where an earlier call stopped. Returns the exit code of ``midi-valle train``.

    JobError or RendererError say what is wrong with what was given.
    """
    return train_in_processes(options, _work)


def _work(options: TrainOptions, team: Team, device: str, is_stopped: Callable[[], bool]) -> bool:
    """What every process of a training does; whether all steps are done."""
    return TrainWork(options, team, device).loop.run(team, is_stopped)
