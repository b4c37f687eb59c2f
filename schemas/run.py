"""run.json: what a run is, so that only the same run is ever continued."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 1

MIDI_READING = "MIDI reading"
"""Among a run's versions: that of the rules by which notes are taken from MIDI files."""


_THRESHOLD = "quality threshold "


class RunError(Exception):
    """A folder that is not this run's: another run's, or not a run directory at all."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive manifest rows that are rendered, committed and resumed together."""

    index: int
    first_row: int
    row_count: int


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """All that decides, beside manifest and model, what is rendered and how it is stored.

    ``device``, ``precision`` and ``batch_size`` are here because they decide how sums are rounded. ``thresholds`` is
    what an item is judged by, and its segments are if they have more than one of the ``attempts``; None in runs of
    an older version, which did not judge, and without those that came later. ``id_separator`` stands for ``/`` of item
    ids in the names of files. ``pedal_channels`` is None in runs of an older version, where each channel had a pedal of
    its own.
    """

    layout: str
    format: str
    sample_rate: int
    loudness: float | None
    peak: float | None
    save_codes: bool
    tail: float
    pedal: str
    temperature: float
    top_k: int
    top_p: float
    seed: int
    limit: int | None
    device: str
    precision: str
    batch_size: int
    attempts: int = 1
    thresholds: Mapping[str, float] | None = None
    id_separator: str | None = None
    pedal_channels: str | None = None
    strict_midi: bool = False

    def values(self) -> dict[str, Any]:
        """Every setting by its name; each threshold by its own."""
        values = asdict(self)
        thresholds = values.pop("thresholds") or {}
        return values | {f"{_THRESHOLD}{name}": value for name, value in thresholds.items()}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run: its input by content, its model by hash, its settings, and its shards, fixed when it began.

    ``rows_sha256`` is of the rendered rows alone, so that a manifest that only grew is known again.
    ``threads`` (of one actor) and ``versions`` may round a sum differently, which no one hears: where they
    differ a warning says so, but they do not make another run.
    """

    manifest_path: str
    manifest_sha256: str
    manifest_rows: int
    rows_sha256: str
    prompts_path: str | None
    prompts_sha256: str | None
    model_id: str
    model_hash: str
    settings: RunSettings
    shards: tuple[Shard, ...]
    threads: int
    versions: Mapping[str, str]
    created: str
    format: int = FORMAT

    @property
    def items(self) -> int:
        """How many items the run renders."""
        return sum(shard.row_count for shard in self.shards)

    def to_json(self) -> bytes:
        """run.json: one line for every field."""
        values = asdict(self) | {"shards": [[s.first_row, s.row_count] for s in self.shards]}
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Run":
        """Read run.json; RunError if it is not one, or of another format."""
        try:
            values: dict[str, Any] = json.loads(data)
            found = values.get("format")
            if found != FORMAT:
                raise RunError(f"run.json has format {found!r}, this version knows {FORMAT}")
            values["settings"] = RunSettings(**values["settings"])
            values["shards"] = tuple(Shard(i, first, rows) for i, (first, rows) in enumerate(values["shards"]))
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"run.json cannot be read: {error}") from None


_IDENTITY = ("manifest_sha256", "manifest_rows", "prompts_sha256", "model_id", "model_hash")


_GROWS = ("manifest_sha256", "manifest_rows")


def differences(old: Run, new: Run, extend: bool = False) -> list[str]:
    """Each field in which ``new`` is another run than ``old``, with both values; empty if they are the same.

    With ``extend``, the manifest's content is left out. Where the manifest lies, when the run began and how it is
    cut into shards are no part of what it is. A run that does not say which ``pedal_channels`` it has, or lacks one
    of the thresholds, goes on as it began.
    """
    names = [name for name in _IDENTITY if not (extend and name in _GROWS)]
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    before, now = old.settings.values(), new.settings.values()
    if before["pedal_channels"] is None:
        del before["pedal_channels"], now["pedal_channels"]
    if old.settings.thresholds:
        now = {name: value for name, value in now.items() if name in before or not name.startswith(_THRESHOLD)}
    settings = [(name, before.get(name), now.get(name)) for name in {**before, **now}]
    return _named(pairs + settings)


def cautions(old: Run, new: Run) -> list[str]:
    """Each version and thread count that differs, and what that may do to what is rendered from now on."""
    names = sorted({*old.versions, *new.versions} - {MIDI_READING})
    pairs = [(f"{name} version", old.versions.get(name), new.versions.get(name)) for name in names]
    machine = _named([*pairs, ("threads per actor", old.threads, new.threads)])
    # Runs that do not say it were begun before the rules had a version.
    reading = (f"{MIDI_READING} version", old.versions.get(MIDI_READING, "1"), new.versions.get(MIDI_READING, "1"))
    return [
        *(f"audio rendered from here on may differ in its last bits: {line}" for line in machine),
        *(
            f"notes may be taken from MIDI files by other rules from here on: {line}. Each item's labels are the notes "
            "that it plays, but to have one rule for all of them, begin anew (--overwrite)"
            for line in _named([reading])
        ),
    ]


def _named(pairs: list[tuple[str, Any, Any]]) -> list[str]:
    return [f"{name}: {old!r} in the run, {new!r} now" for name, old, new in pairs if old != new]
