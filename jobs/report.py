"""What a person sees of a run: progress while it goes, and a summary at its end."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from tqdm import tqdm

from schemas.marker import SHOWN_IDS, FailureCount, Marker

SECONDS_BETWEEN_LINES = 15.0
SECONDS_TO_KNOW_SPEED = 60.0


@dataclass
class Totals:
    """The finished shards, added up."""

    shards: dict[int, int] = field(default_factory=dict)
    """The generation of each finished shard's marker."""

    items: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    render_seconds: float = 0.0
    good: int = 0
    poor: int = 0
    _faults: Counter[str] = field(default_factory=Counter)
    _measured_seconds: float = 0.0
    _filled_seconds: float = 0.0
    _with_failures: dict[int, Marker] = field(default_factory=dict)

    def add(self, marker: Marker) -> None:
        """Count one more finished shard; a later generation counts in place of the one before."""
        before = self.shards.get(marker.shard)
        if before == marker.generation:
            return
        if before is not None:
            self._count(self._with_failures.pop(marker.shard), -1)
        self.shards[marker.shard] = marker.generation
        self._count(marker, 1)
        if marker.failures:
            self._with_failures[marker.shard] = replace(marker, objects=())

    @property
    def shards_with_failures(self) -> Sequence[int]:
        """The finished shards of which items failed."""
        return sorted(self._with_failures)

    @property
    def shard_of_each_reason(self) -> dict[str, int]:
        """For each reason for which items failed the first shard with one."""
        found: dict[str, int] = {}
        for shard in self.shards_with_failures:
            for reason in self._with_failures[shard].failures:
                found.setdefault(reason, shard)
        return found

    @property
    def failures(self) -> dict[str, FailureCount]:
        """Failed items by reason, with the first of them."""
        summed: dict[str, FailureCount] = {}
        for shard in self.shards_with_failures:
            for reason, failure in self._with_failures[shard].failures.items():
                before = summed.get(reason, FailureCount(0, ()))
                ids = (*before.item_ids, *failure.item_ids)[:SHOWN_IDS]
                summed[reason] = FailureCount(before.count + failure.count, ids)
        return summed

    @property
    def faults(self) -> list[tuple[str, int]]:
        """How many poor items have which fault, the most frequent first; an item may have several."""
        return [(name, count) for name, count in self._faults.most_common() if count]

    @property
    def occupancy(self) -> float | None:
        """The share of the decode batch's steps that served an item; None if nothing was rendered."""
        return self._filled_seconds / self._measured_seconds if self._measured_seconds > 0 else None

    def _count(self, marker: Marker, sign: int) -> None:
        self.items += sign * marker.items
        self.failed += sign * marker.failed
        self.audio_seconds += sign * marker.audio_seconds
        self.render_seconds += sign * marker.render_seconds
        if marker.occupancy is not None:
            self._measured_seconds += sign * marker.render_seconds
            self._filled_seconds += sign * marker.render_seconds * marker.occupancy
        if marker.quality is not None:
            self.good += sign * marker.quality.good
            self.poor += sign * marker.quality.poor
            for name, count in marker.quality.faults.items():
                self._faults[name] += sign * count


class Display:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, items: int, totals: Totals) -> None:
        self._items = items
        self._items_before, self._audio_before = totals.items, totals.audio_seconds
        self._seconds_before = totals.render_seconds / totals.items if totals.items else 0.0
        self._told_when = False
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
        self, items: float, audio_seconds: float, failed: int, actors: int, until_stop: float | None = None
    ) -> None:
        """Show how far the run is in all, earlier sessions included, with ``actors`` at work.

        If it is to stop, ``until_stop`` is how many items the busiest actor has yet to finish.
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
        is_news = until_stop is not None and not self._told_when
        if self._bar is not None:
            self._bar.n = items
            self._bar.set_postfix_str(text)
        elif is_news or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line, self._told_when = now, until_stop is not None
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


_AUDIO_FOLDERS = {"files": "audio", "webdataset": "shards", "parquet": "shards"}


def summary(totals: Totals, items: int, place: str, layout: str) -> str:
    """What there is now, where it is, and what failed for which reasons."""
    rendered = totals.items - totals.failed
    audio = f": {place}/{_AUDIO_FOLDERS[layout]}" if layout in _AUDIO_FOLDERS else ""
    midi = f"their notes as MIDI: {place}/midi; " if layout == "files" else ""
    lines = [
        f"{rendered:,} of {items:,} items rendered, {duration(totals.audio_seconds)} of audio{audio}",
        f"{midi}one row for every item: {place}/metadata",
    ]
    return "\n".join([*lines, *verdicts(totals), *reasons(totals)])


def verdicts(totals: Totals) -> list[str]:
    """How many items are good and poor, and which faults there are; no line if none was judged."""
    if not totals.good + totals.poor:
        return []
    faults = ", ".join(f"{name} {count:,}" for name, count in totals.faults)
    return [f"quality: {totals.good:,} items good, {totals.poor:,} poor{f' ({faults})' if faults else ''}"]


def reasons(totals: Totals) -> list[str]:
    """What failed for which reasons, the most frequent first; no lines if nothing failed."""
    lines = [f"{totals.failed:,} items failed:"] if totals.failures else []
    for reason, failure in sorted(totals.failures.items(), key=lambda entry: -entry[1].count):
        more = ", ..." if failure.count > len(failure.item_ids) else ""
        lines.append(f"  {reason}: {failure.count:,} ({', '.join(failure.item_ids)}{more})")
    return lines


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


def one_line(text: str) -> str:
    """The text as :func:`printable` has it, with line breaks escaped as well: no name can pass for a line of ours."""
    return printable(text).replace("\n", "\\n")
