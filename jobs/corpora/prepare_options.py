"""What a user may ask of ``midi-valle prepare``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_choice, flag
from jobs.run.options import RenderOptions
from jobs.storage.s3_options import S3Options

if TYPE_CHECKING:
    from jobs.corpora.conditions import Conditions
    from renderer.pianos.open_piano import PianoFiles

TAIL_SECONDS = 1.0
"""That each clip played on a piano rings after its last note."""

MATERIAL, SOUND, AUGMENTATION, MACHINE = "Material", "Pianos and rooms", "Augmentation (training clips)", "Machine"


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(S3Options):
    """The options of ``midi-valle prepare``.

    ``None`` stands for: everything once (``hours``), named rooms (``conditions``), no codes (``codec``). JobError for
    a value that makes no sense.
    """

    sources: Annotated[
        Sequence[str],
        Option(
            "Folders or .txt lists of MIDI files, or Parquet tables of recordings: midi, audio, condition.",
            is_argument=True,
        ),
    ]
    out: Annotated[str, Option("The corpus; run the same command again to go on.")]
    share: Annotated[Sequence[float], Option("Each source's part of the hours, in order.", MATERIAL)] = ()
    hold_out: Annotated[Path | None, Option("List of MIDI files that are never used.", MATERIAL)] = None
    hours: Annotated[
        float | None, Option("Of music, to which each clip adds a second; by default everything once.", MATERIAL)
    ] = None
    validation: Annotated[float, Option("Part of the pieces.", MATERIAL)] = 0.05
    test: Annotated[float, Option("Part of the pieces.", MATERIAL)] = 0.05
    shortest: Annotated[float, Option("Clips, in seconds.", MATERIAL)] = 10.0
    longest: Annotated[float, Option("Clips, in seconds.", MATERIAL)] = 30.0
    pedal: Annotated[
        Literal["ignore", "extend"], Option("Sustain pedal: ignore, or extend (it lengthens notes).", MATERIAL)
    ] = "extend"
    seed: Annotated[int, Option("Decides all that is drawn.", MATERIAL)] = 0
    piano: Annotated[
        Sequence[str],
        Option(
            "NAME=FOLDER of recordings like D#4v7.ogg, NAME=FILE.sfz, or NAME=FILE.sf2#BANK:PRESET; repeatable.", SOUND
        ),
    ] = ()
    room: Annotated[
        Sequence[str], Option("close, chamber or hall; repeatable; all by default.", SOUND, shows_default=False)
    ] = ("close", "chamber", "hall")
    room_variants: Annotated[int, Option("Variants of every room.", SOUND)] = 4
    conditions: Annotated[
        int | None,
        Option("Draw so many in place of --room: rooms, microphones, noise, tuning, voicing and touch.", SOUND),
    ] = None
    hold_out_piano: Annotated[
        Sequence[str], Option("A piano that no training clip is played on; repeatable.", SOUND)
    ] = ()
    hold_out_rooms: Annotated[float, Option("Share of rooms that no training clip is recorded in.", SOUND)] = 0.0
    codec: Annotated[str | None, Option("Keep this model's codes as well: a name or directory.", SOUND)] = None
    format: Annotated[str, Option("flac, flac24, wav, wav24, wav-float.", SOUND)] = RenderOptions.format
    transpose: Annotated[int, Option("Semitones, at most.", AUGMENTATION)] = 2
    velocity_scale: Annotated[tuple[float, float], Option("Lowest and highest factor.", AUGMENTATION)] = (0.8, 1.15)
    tempo_scale: Annotated[tuple[float, float], Option("Lowest and highest factor.", AUGMENTATION)] = (0.9, 1.1)
    actors: Annotated[int | None, Option("Actors; by default as many as fit.", MACHINE)] = None
    cpus_per_actor: Annotated[int, Option("Threads of each actor.", MACHINE)] = 1
    shard_items: Annotated[int, Option("Clips that are finished and resumed together.", MACHINE)] = 50
    ray_address: Annotated[str | None, Option("A Ray cluster to use; else this machine.", MACHINE)] = None
    item_timeout: Annotated[float, Option("Seconds without progress until a worker is replaced.", MACHINE)] = (
        RenderOptions.item_timeout
    )
    max_failures: Annotated[int | None, Option("Stop after so many failed clips.", MACHINE)] = None
    retry_failed: Annotated[bool, Option("Try failed clips again.", MACHINE)] = False

    def __post_init__(self) -> None:
        from renderer.pianos.room import Room

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
        check_choice(self, "pedal")
        if not 0 <= self.transpose <= 12:
            raise JobError(f"--transpose is {self.transpose}; it must be 0 to 12 semitones")
        for name in ("velocity_scale", "tempo_scale"):
            low, high = getattr(self, name)
            if not 0.25 <= low <= high <= 4.0:
                raise JobError(f"{flag(name)} is {low:g} {high:g}; give two factors, 0.25 to 4")
        if self.room_variants < 1 or not self.room:
            raise JobError("--room and --room-variants must leave at least one room")
        if self.conditions is not None and self.conditions < 1:
            raise JobError(f"--conditions is {self.conditions}; it must be at least 1")
        if not 0 <= self.hold_out_rooms < 1:
            raise JobError(f"--hold-out-rooms is {self.hold_out_rooms:g}; it is a share, below 1")
        if self.format not in ("flac", "flac24", "wav", "wav24", "wav-float"):
            raise JobError(f"--format is {self.format!r}; train on flac, flac24, wav, wav24 or wav-float")
        slow, fast = self.tempo_scale
        factor = 1.5 * max(1.0, fast) / min(1.0, slow)
        needed = self.shortest * factor + TAIL_SECONDS
        if not (self.shortest >= 1 and self.longest >= needed):
            raise JobError(
                f"--shortest {self.shortest:g} --longest {self.longest:g}: cannot be cut: give 1 s or more, and for "
                f"the longest at least {needed:.3g}: {factor:.3g} times the shortest (one and a half times, and clips "
                f"are played {slow:g} to {fast:g} times as fast, --tempo-scale) and {TAIL_SECONDS:g} s to ring"
            )
        try:
            for room in self.room:
                Room.named(room)
        except ValueError as error:
            raise JobError(str(error)) from None
        pianos = self.pianos()
        if unknown := [name for name in self.hold_out_piano if name not in pianos]:
            raise JobError(f"--hold-out-piano {unknown[0]} is none of the pianos: {', '.join(pianos)}")
        if pianos and not self.recording_conditions().seen:
            raise JobError("no condition is left to train on: hold out fewer pianos or rooms, or draw more conditions")

    def pianos(self) -> "dict[str, PianoFiles]":
        """The pianos by name; JobError for what is not ``NAME=PATH`` or ``NAME=SOUNDFONT#BANK:PRESET``."""
        from jobs.corpora.piano_options import read_pianos

        return read_pianos(self.piano)

    def recording_conditions(self) -> "Conditions":
        """Every piano in every room and its variants, ``hall``, ``hall-1``, ``hall-2``, ...; or drawn at random."""
        from jobs.corpora.conditions import Conditions

        if self.conditions is not None:
            return Conditions.drawn(
                list(self.pianos()), self.conditions, set(self.hold_out_piano), self.hold_out_rooms, self.seed
            )
        variants = range(self.room_variants)
        rooms = [f"{room}-{variant}" if variant else room for room in self.room for variant in variants]
        return Conditions.named(list(self.pianos()), rooms, set(self.hold_out_piano), self.hold_out_rooms, self.seed)
