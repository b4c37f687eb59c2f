"""How many steps a training has, and what is due after which of them: as asked, or as the time that there is allows."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from renderer.training.learning_rate import LearningRate

ENDLESS = 2**62
"""Steps of a training that are not counted yet."""

_MEASURED_SECONDS, _MEASURED_SHARE = 15.0, 0.04
"""How long the speed is measured before steps are counted out: so many seconds, or this share of the time if less."""

_SETTLING_STEPS = 3
"""The first steps are slow: memory is taken, kernels are chosen."""

_KEPT_BACK = 0.03
"""Share of the time for the last validation and what is written at the end."""

_WARMUP_SHARE = 0.1
_VALIDATION_SHARE = 0.04
_MINUTE, _CHECKPOINT_SECONDS = 60.0, 180.0


@dataclass
class Timetable:
    """``steps`` in all, of which those up to ``stop_at`` are done. ``..._every`` counts steps; 0 is never."""

    steps: int
    log_every: int
    checkpoint_every: int
    validate_every: int = 0
    sample_every: int = 0
    stop_at: int | None = None

    @property
    def last(self) -> int:
        """The step to stop at."""
        return min(self.steps, self.stop_at or self.steps)

    def is_due(self, every: int, step: int) -> bool:
        """Whether something that happens every so many steps happens after this one; at the end all does."""
        return every > 0 and (step % every == 0 or step == self.last)

    def reads(self, step: int) -> bool:
        """Whether anything is due, so that the device is waited for."""
        return any(self.is_due(every, step) for every in (self.log_every, self.checkpoint_every, self.validate_every))

    def note(self, step: int, seconds: float) -> bool:
        """Take note of when a step was done, in seconds since the beginning; whether that made a plan."""
        return False

    def note_validation(self, seconds: float) -> None:
        """Take note of how long a validation took, with what was written after it."""


class Paced(Protocol):
    """A training whose rate can be given another course."""

    rate: LearningRate


class TimetableOfMinutes(Timetable):
    """Steps, warm-up and decay of ``training`` fit into ``minutes``: the speed is measured first, and then watched.

    Validations come every minute, or less often, so that they take a twentieth of the time at most; checkpoints with
    them, and every three minutes. No samples are rendered.
    """

    def __init__(self, minutes: float, training: Paced) -> None:
        super().__init__(ENDLESS, log_every=1, checkpoint_every=ENDLESS)
        self.seconds, self.training = minutes * _MINUTE, training
        self._begin: tuple[int, float] | None = None
        self._noted = 0
        self._validation = 0.0
        self._is_planned = False

    def note(self, step: int, seconds: float) -> bool:
        """See ``Timetable``."""
        if step >= self.steps:
            return False
        if self._begin is None:
            self._noted += 1
            if self._noted >= _SETTLING_STEPS or seconds > _MEASURED_SHARE * self.seconds:
                self._begin = step, seconds
            return False
        begin, at = self._begin
        measured = seconds - at
        if not self._is_planned and measured < min(_MEASURED_SECONDS, _MEASURED_SHARE * self.seconds):
            return False
        pace = measured / (step - begin)
        left = self.seconds * (1 - _KEPT_BACK) - seconds
        self.steps = step + max(1, int(left / pace))
        every = max(1, math.ceil(max(_MINUTE, self._validation / _VALIDATION_SHARE) / pace))
        self.log_every = max(1, round(_MINUTE / 6 / pace))
        self.validate_every, self.checkpoint_every = every, max(1, round(_CHECKPOINT_SECONDS / pace))
        warmup = min(self.training.rate.warmup, max(step, int(_WARMUP_SHARE * self.steps)))
        self.training.rate = replace(self.training.rate, warmup=warmup, steps=self.steps)
        is_new, self._is_planned = not self._is_planned, True
        return is_new

    def note_validation(self, seconds: float) -> None:
        """See ``Timetable``."""
        self._validation = seconds
