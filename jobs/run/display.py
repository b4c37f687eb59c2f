"""Progress of a run, for a person at a terminal or for a log."""

import sys
import time
from typing import Any

from tqdm import tqdm

from jobs.console import duration, printable, say
from jobs.run_directory.totals import Totals

SECONDS_BETWEEN_LINES = 15.0
SECONDS_TO_KNOW_SPEED = 60.0


class Display:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, items: int, totals: Totals) -> None:
        self._items = items
        self._items_before, self._audio_before = totals.items, totals.audio_seconds
        self._seconds_before = totals.render_seconds / totals.items if totals.items else 0.0
        self._said_when = False
        self._began: float | None = None
        self._last_line = 0.0
        self._bar: tqdm[Any] | None = None

    def begin(self) -> None:
        """The first actor is ready: from here on time counts."""
        if self._began is not None:
            return
        self._began = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self._items,
                initial=self._items_before,
                bar_format="{percentage:3.0f}%|{bar}| {n:.1f}/{total} items [{elapsed}{postfix}]",
            )

    def show(
        self,
        items: float,
        audio_seconds: float,
        failed: int,
        actors: int,
        until_stop: float | None = None,
        silent_seconds: float = 0.0,
    ) -> None:
        """Show how far the run is in all, earlier sessions included, with ``actors`` at work.

        If it is to stop, ``until_stop`` is how many items the busiest actor has yet to finish. For
        ``silent_seconds`` the storage has not answered.
        """
        if self._began is None:
            return
        now = time.monotonic()
        speed = (audio_seconds - self._audio_before) / max(now - self._began, 1e-3)
        text = f"{duration(audio_seconds)} of audio, {speed:.1f} audio-s/s, {failed:,} failed"
        each = self._seconds_per_item(items, now - self._began, actors)
        if until_stop is not None:
            when = f" in about {duration(until_stop * actors * each)}" if each is not None else ""
            text += f", stopping{when} (interrupt once more to drop what is in flight)"
        elif each is not None and (self._seconds_before or now - self._began >= SECONDS_TO_KNOW_SPEED):
            text += f", {duration((self._items - items) * each)} left"
        if silent_seconds:
            text += f", the storage has not answered for {duration(silent_seconds)}"
        is_news = until_stop is not None and not self._said_when
        if self._bar is not None:
            self._bar.n = items
            self._bar.set_postfix_str(text)
        elif is_news or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line, self._said_when = now, until_stop is not None
            self.say(f"{items:,.1f} of {self._items:,} items, {text}")

    def _seconds_per_item(self, items: float, elapsed: float, actors: int) -> float | None:
        """Of all actors together, by this session's speed; while that is not known, by that of earlier ones."""
        rendered = items - self._items_before
        if rendered > 0 and (elapsed >= SECONDS_TO_KNOW_SPEED or not self._seconds_before):
            return elapsed / rendered
        return self._seconds_before / actors if self._seconds_before and actors else None

    def say(self, text: str) -> None:
        """Print a message, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(printable(text), file=sys.stderr)
        else:
            say(text)

    def session(self, totals: Totals) -> str:
        """What this session has done, and how fast."""
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        audio = totals.audio_seconds - self._audio_before
        filled = "" if totals.occupancy is None else f"; decode batches {totals.occupancy:.1%} full"
        return f"{duration(audio)} of audio in {duration(seconds)}: {audio / max(seconds, 1e-3):.1f} audio-s/s{filled}"

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
