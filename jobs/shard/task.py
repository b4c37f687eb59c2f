"""What a driver asks of a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from schemas.marker import StoredObject
from schemas.run import Shard


@dataclass(frozen=True)
class Fault:
    """Why a call did not come back: the ``error_type`` and ``error_message`` of a row that is at fault."""

    error_type: Literal["WorkerCrashed", "TimedOut"]
    message: str


@dataclass(frozen=True)
class Part:
    """What one worker has rendered of a shard that several share: no more than data, until a marker names it.

    ``name`` is that of the attempt, which tells where the result rows lie.
    """

    name: str
    rows: tuple[int, ...]
    failed: int
    audio_seconds: float
    render_seconds: float
    occupancy: float | None
    objects: tuple[StoredObject, ...]


@dataclass(frozen=True)
class Task:
    """What one worker is asked for of one shard. Rows are counted from the shard's first.

    To render and commit it, with the ``quarantined`` rows as failed ones; if ``probe`` names rows, to render just
    those and keep nothing. ``rows`` says which rows are rendered, in the order in which they are begun; none are
    named for all of them. Where they are not all, the task is to render a :class:`Part`. Where there are ``parts``,
    all is rendered, and they are to be put together and committed. A ``generation`` above 0 is about those rows alone
    that failed in the generation before. If it may be tried ``elsewhere``, nothing is stored where every item fails for
    reasons of the place.
    """

    shard: Shard
    generation: int = 0
    quarantined: Mapping[int, Fault] = field(default_factory=dict)
    probe: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    elsewhere: bool = False

    @property
    def places(self) -> tuple[int, ...]:
        """The rows that it renders, in the order in which they are begun, if no later generation leaves some out."""
        return () if self.parts else self.rows or tuple(range(self.shard.row_count))

    @property
    def is_part(self) -> bool:
        """Whether other workers render the rest of the shard."""
        return 0 < len(self.rows) < self.shard.row_count

    @property
    def key(self) -> tuple[int, int]:
        """What it is called as long as it is not done: also when it hands rows at its end to others."""
        return self.shard.index, self.rows[0] if self.rows else 0

    @property
    def can_be_split(self) -> bool:
        """Whether another worker may take a share of its rows."""
        return not (self.probe or self.generation or self.quarantined or self.parts) and len(self.places) > 1

    def split(self, count: int) -> tuple["Task", "Task"]:
        """Two tasks, of which the second has the last ``count`` rows."""
        places = self.places
        return replace(self, rows=places[:-count]), replace(self, rows=places[-count:])
