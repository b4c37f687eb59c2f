"""What a person sees of a run: progress while it goes, and a summary at its end."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from tqdm import tqdm

from schemas.marker import SHOWN_IDS, FailureCount, Marker

SECONDS_BETWEEN_LINES = 15.0


@dataclass
class Totals:
    """The finished shards, added up."""

    shards: set[int] = field(default_factory=set)
    items: int = 0
    audio_seconds: float = 0.0
    failures: dict[str, FailureCount] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many items failed."""
        return sum(failure.count for failure in self.failures.values())

    def add(self, marker: Marker) -> None:
        """Count one more finished shard."""
        self.shards.add(marker.shard)
        self.items += marker.items
        self.audio_seconds += marker.audio_seconds
        for reason, failure in marker.failures.items():
            before = self.failures.get(reason, FailureCount(0, ()))
            ids = (*before.item_ids, *failure.item_ids)[:SHOWN_IDS]
            self.failures[reason] = FailureCount(before.count + failure.count, ids)


class Display:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, items: int, totals: Totals) -> None:
        self._items = items
        self._items_before, self._audio_before = totals.items, totals.audio_seconds
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
                bar_format="{percentage:3.0f}%|{bar}| {n:.1f}/{total} items [{elapsed}<{remaining}{postfix}]",
            )

    def show(self, items: float, audio_seconds: float, failed: int) -> None:
        """Show how far the run is in all, earlier sessions included."""
        if self._began is None:
            return
        now = time.monotonic()
        speed = (audio_seconds - self._audio_before) / max(now - self._began, 1e-3)
        text = f"{duration(audio_seconds)} of audio, {speed:.1f} audio-s/s, {failed:,} failed"
        if self._bar is not None:
            self._bar.n = items
            self._bar.set_postfix_str(text)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.say(f"{items:,.1f} of {self._items:,} items, {text}")

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
        return f"{duration(audio)} of audio in {duration(seconds)}: {audio / max(seconds, 1e-3):.1f} audio-s/s"

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def summary(totals: Totals, items: int, place: str) -> str:
    """What there is now, where it is, and what failed for which reasons."""
    rendered = totals.items - totals.failed
    lines = [
        f"{rendered:,} of {items:,} items rendered, {duration(totals.audio_seconds)} of audio: {place}/audio",
        f"their notes as MIDI: {place}/midi; one row for every item: {place}/metadata",
    ]
    if totals.failures:
        lines.append(f"{totals.failed:,} items failed:")
        for reason, failure in sorted(totals.failures.items(), key=lambda entry: -entry[1].count):
            more = ", ..." if failure.count > len(failure.item_ids) else ""
            lines.append(f"  {reason}: {failure.count:,} ({', '.join(failure.item_ids)}{more})")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A length of time in the unit that fits."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.2f} h"


def say(text: str, file: TextIO | None = None) -> None:
    """Print a message for the user: on stderr, or where else it should go."""
    print(printable(text), file=file or sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text with control characters escaped; a file name must not be able to command a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
