"""What passes between a driver and a worker: orders, and the news that come back."""

import math
from dataclasses import dataclass

from jobs.shard.task import Part, Task
from schemas.marker import Marker


@dataclass(frozen=True)
class Orders:
    """The ``line`` of tasks that a worker is to have, its own ones first, and when it is to come back.

    That is as soon as its first task is done; or when fewer than ``low`` rows of the line wait to be begun, so that
    more can be added before the batch has empty places; or after some ``seconds``. If it is to ``give_back`` rows, it
    takes up to so many that are not begun off the end of its line, and comes back at once.
    """

    line: tuple[Task, ...]
    low: int = 0
    seconds: float = math.inf
    give_back: int = 0


@dataclass(frozen=True)
class Standing:
    """A task in line: how many of its rows wait to be begun, and how many have results."""

    task: Task
    waiting: int
    done: int = 0


@dataclass(frozen=True)
class News:
    """What a worker has to say when it comes back.

    The ``finished`` task was the first in line, and is not in ``line`` any more. A ``marker`` is the one that holds for
    its shard, a ``part`` what there is now of a shard that is shared; a probe leaves neither. ``dropped`` is the
    traceback of what failed while a shard was committed: then nothing is in line, and what was begins anew.
    """

    line: tuple[Standing, ...]
    finished: Task | None = None
    marker: Marker | None = None
    part: Part | None = None
    given_back: tuple[Task, ...] = ()
    dropped: str = ""
