"""What is said of a manifest that was built."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from statistics import median

from jobs.console import duration, one_line
from jobs.manifests.measures import Measures
from renderer.midi.chunks import Damage

SHOWN_REASONS = 5
_MENDED = [each.name for each in fields(Damage)]
_DIGITS = re.compile(r"\d+(\.\d+)?")


@dataclass
class BuildSummary:
    """Counts files while they are read, and rows while they are written."""

    seconds: list[float] = field(default_factory=list)
    notes: int = 0
    pedalled: int = 0
    mended: int = 0
    lowest_velocity: int = 127
    highest_velocity: int = 1
    most_polyphony: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    copies_missing: int = 0
    rows: Counter[str | None] = field(default_factory=Counter)
    audio: defaultdict[str | None, float] = field(default_factory=lambda: defaultdict(float))

    def add_file(self, name: str, found: Measures | str) -> None:
        """A file as it was read, or why it cannot be rendered."""
        if isinstance(found, str):
            kind = _DIGITS.sub("N", found)
            self.reasons[kind] += 1
            self.examples.setdefault(kind, f"{found} ({one_line(name)})")
            return
        self.seconds.append(found.duration_s)
        self.notes += found.note_count
        self.pedalled += found.pedalled > 0
        self.mended += any(found.note_report[name] for name in _MENDED)
        self.lowest_velocity = min(self.lowest_velocity, found.lowest_velocity)
        self.highest_velocity = max(self.highest_velocity, found.highest_velocity)
        self.most_polyphony = max(self.most_polyphony, found.polyphony)

    def add_row(self, split: str | None, seconds: float) -> None:
        """A row of the manifest, and the seconds of audio that it will give."""
        self.rows[split] += 1
        self.audio[split] += seconds

    @property
    def first_reason(self) -> str:
        """Why the first file that cannot be rendered cannot."""
        return next(iter(self.examples.values()))

    def lines(self, took: float) -> list[str]:
        """The summary, of files that were read in so many seconds."""
        failed, good = self.reasons.total(), len(self.seconds)
        speed = 60 * (good + failed) / max(took, 1e-3)
        return [
            f"{good + failed:,} files read in {duration(took)}, {speed:,.0f} a minute: {good:,} can be rendered, "
            f"{failed:,} cannot",
            *self._reasons(),
            *_counted("damaged, and mended", self.mended),
            *_counted("duplicates, with the same notes as an earlier file", self.duplicates),
            f"performances: {duration(sum(self.seconds))}; the shortest {duration(min(self.seconds))}, "
            f"median {duration(median(self.seconds))}, the longest {duration(max(self.seconds))}",
            f"notes: {self.notes:,}, velocity {self.lowest_velocity} to {self.highest_velocity}, at most "
            f"{self.most_polyphony} at once; pedal in {self.pedalled:,} files",
            *_counted("copies left out, because --augment has no other change", self.copies_missing),
            f"rows: {self.rows.total():,}, {duration(sum(self.audio.values()))} of audio",
            *self._splits(),
        ]

    def _reasons(self) -> list[str]:
        most = self.reasons.most_common(SHOWN_REASONS)
        more = [f"  and {len(self.reasons) - len(most):,} other reasons"] if len(self.reasons) > len(most) else []
        return [*(f"  {count:,}: {self.examples[kind]}" for kind, count in most), *more]

    def _splits(self) -> list[str]:
        if set(self.rows) == {None}:
            return []
        return [
            f"  {split or 'no split'}: {self.rows[split]:,}, {duration(self.audio[split])}, "
            f"{self.audio[split] / sum(self.audio.values()):.1%}"
            for split in sorted(self.rows, key=str)
        ]


def _counted(what: str, count: int) -> list[str]:
    return [f"{what}: {count:,}"] if count else []
