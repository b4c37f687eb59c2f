"""Which nodes will be gone soon, as spot machines of which notice was given."""

import threading
import time
from contextlib import suppress

from ray._private.state import state  # Nothing public tells it without the dashboard.

SECONDS_BETWEEN_QUESTIONS = 5.0


class DrainWatch:
    """Asks Ray every few seconds, in a thread beside the driver's loop: a head that is lost never answers."""

    def __init__(self) -> None:
        self._nodes: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._asked = -SECONDS_BETWEEN_QUESTIONS

    @property
    def nodes(self) -> frozenset[str]:
        """The ids of those of which Ray knew when it last answered; asks anew if it is time to. Returns at once."""
        is_asking = self._thread is not None and self._thread.is_alive()
        if not is_asking and time.monotonic() - self._asked >= SECONDS_BETWEEN_QUESTIONS:
            self._asked = time.monotonic()
            self._thread = threading.Thread(target=self._ask, name="draining", daemon=True)
            self._thread.start()
        return self._nodes

    def _ask(self) -> None:
        with suppress(Exception):  # Whether the head is lost is told by others.
            self._nodes = frozenset(state.get_draining_nodes())
