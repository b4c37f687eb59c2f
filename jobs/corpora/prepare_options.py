"""What a user may ask of ``midi-valle prepare``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.corpora.piano_options import read_pianos
from jobs.errors import JobError
from jobs.run.options import RenderOptions
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.room import Room

DEFAULT_ROOMS = ("close", "chamber", "hall")


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The options of ``midi-valle prepare``, under the same names and with the same defaults.

    ``None`` stands for: equal parts (``share``), everything once (``hours``), no codes (``codec``). JobError for a
    value that makes no sense.
    """

    sources: Sequence[str]
    out: str
    share: Sequence[float] = ()
    hold_out: Path | None = None
    piano: Sequence[str] = ()
    room: Sequence[str] = DEFAULT_ROOMS
    room_variants: int = 4
    hours: float | None = None
    validation: float = 0.05
    test: float = 0.05
    shortest: float = 10.0
    longest: float = 30.0
    transpose: int = 2
    velocity_scale: tuple[float, float] = (0.8, 1.15)
    tempo_scale: tuple[float, float] = (0.9, 1.1)
    pedal: str = "extend"
    codec: str | None = None
    seed: int = 0
    format: str = RenderOptions.format
    s3_endpoint_url: str | None = None
    shard_items: int = 50
    actors: int | None = None
    cpus_per_actor: int = 1
    ray_address: str | None = None
    item_timeout: float = RenderOptions.item_timeout
    max_failures: int | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if not self.sources:
            raise JobError("give at least one folder or list of MIDI files, or a table of recordings")
        if self.share and len(self.share) != len(self.sources):
            raise JobError(f"--share is given {len(self.share)} times for {len(self.sources)} sources")
        if any(not (math.isfinite(share) and share > 0) for share in self.share):
            raise JobError("--share must be more than 0")
        if self.hours is not None and not 0 < self.hours < math.inf:
            raise JobError(f"--hours is {self.hours:g}; it must be more than 0")
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise JobError("--validation and --test are shares, and must leave something for training")
        if not 0 <= self.transpose <= 12:
            raise JobError(f"--transpose is {self.transpose}; it must be 0 to 12 semitones")
        for name in ("velocity_scale", "tempo_scale"):
            low, high = getattr(self, name)
            if not 0.25 <= low <= high <= 4.0:
                raise JobError(f"--{name.replace('_', '-')} is {low:g} {high:g}; give two factors, 0.25 to 4")
        if self.room_variants < 1 or not self.room:
            raise JobError("--room and --room-variants must leave at least one room")
        if self.format not in ("flac", "flac24", "wav", "wav24", "wav-float"):
            raise JobError(f"--format is {self.format!r}; train on flac, flac24, wav, wav24 or wav-float")
        slow, fast = self.tempo_scale
        if not 1.0 <= self.shortest * fast <= self.longest * slow / 1.5:
            factor = 1.5 * fast / slow
            raise JobError(
                f"--shortest {self.shortest:g} --longest {self.longest:g}: cannot be cut: give 1 s or more, and for the "
                f"longest at least {factor:.3g} times the shortest, here {self.shortest * factor:.3g}: one and a half "
                f"times, and clips are played {slow:g} to {fast:g} times as fast (--tempo-scale)"
            )
        try:
            for room in self.room:
                Room.named(room)
        except ValueError as error:
            raise JobError(str(error)) from None
        self.pianos()

    def pianos(self) -> dict[str, PianoFiles]:
        """The pianos by name; JobError for what is not ``NAME=PATH`` or ``NAME=SOUNDFONT#BANK:PRESET``."""
        return read_pianos(self.piano)

    def rooms(self) -> list[str]:
        """All rooms with their variants: ``hall``, ``hall-1``, ``hall-2``, ..."""
        variants = range(self.room_variants)
        return [f"{room}-{variant}" if variant else room for room in self.room for variant in variants]
