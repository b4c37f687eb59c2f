"""What a driver asks of a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.run import Shard


@dataclass(frozen=True)
class Fault:
    """Why a call did not come back: the ``error_type`` and ``error_message`` of a row that is at fault."""

    error_type: Literal["WorkerCrashed", "TimedOut"]
    message: str


@dataclass(frozen=True)
class Task:
    """What one call asks of a worker.

    To render and commit a shard, with the ``quarantined`` rows as failed ones; or, if ``probe`` names rows, to
    render just those and keep nothing. Rows are counted from the shard's first. A ``generation`` above 0 is
    about those rows alone that failed in the generation before. If it may be tried ``elsewhere``, nothing is committed
    where every item fails for reasons of the place.
    """

    shard: Shard
    generation: int = 0
    quarantined: Mapping[int, Fault] = field(default_factory=dict)
    probe: tuple[int, ...] = ()
    elsewhere: bool = False
