"""How fast a run's workers are, and how much of it is left: estimates, as the weights of rows are."""

import math

LEAST_SHARE_SECONDS = 1.0
"""A shard is split for so much work: to put it together again costs something as well."""

SHORTEST_CALL, LONGEST_CALL = 1.0, 15.0
"""Seconds after which a worker comes back, at least and at most."""

GUESSED_SPEED = 1.0
"""Rows in a second, as long as none is done."""

CALLS_A_SECOND = 200
"""So many of a fleet's calls come back in a second at most."""

LOOKS = 20
"""So often would a worker come back if the estimate of what is left stayed as it is."""


class Pace:
    """Weight that is not done, in lines or waiting (``left``), and how much of it a worker renders in a second."""

    def __init__(self, left: float) -> None:
        self.left = left
        self._rendered, self._seconds = 0.0, 0.0

    def learn(self, rendered: float, seconds: float) -> None:
        """A worker has rendered so much in so many seconds."""
        self._rendered, self._seconds = self._rendered + max(rendered, 0.0), self._seconds + seconds

    @property
    def speed(self) -> float | None:
        """Weight in a second that one worker renders; None while that is not known."""
        return self._rendered / self._seconds if self._rendered else None

    @property
    def guessed_speed(self) -> float:
        """The same, or a guess."""
        return self.speed or GUESSED_SPEED

    @property
    def least_share(self) -> float:
        """The least weight for which a shard is split; infinite while the speed is not known."""
        return math.inf if self.speed is None else self.speed * LEAST_SHARE_SECONDS

    def call_seconds(self, workers: int, level: float) -> float:
        """After how many seconds one of so many workers comes back, each of which has ``level`` to do until the end.

        All the more often the nearer the end is: after a twentieth of the time that is left.
        """
        shortest = max(SHORTEST_CALL, workers / CALLS_A_SECOND)
        if self.speed is None:
            return shortest
        return max(shortest, min(LONGEST_CALL, level / self.speed / LOOKS))
