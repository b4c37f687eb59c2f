"""Which clips a corpus has: cut, split by piece, given conditions and augmented; all decided by the seed."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.corpora.conditions import Conditions
from jobs.corpora.sources import SourcePiece
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.seeded import digest, generator
from jobs.worker_processes import worker_processes
from renderer.errors import MidiError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import PedalPolicy
from renderer.pianos.clips import ClipLengths, cut_clips
from schemas.splits import Split

SECONDS_PER_HOUR = 3600.0
_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("item_id", pa.string()),
    pa.field("midi", pa.string()),
    pa.field("prompt", pa.string()),
    pa.field("prompt_audio", pa.string()),
    pa.field("prompt_midi", pa.string()),
    pa.field("start_s", pa.float64()),
    pa.field("end_s", pa.float64()),
    pa.field("transpose", pa.int64()),
    pa.field("velocity_scale", pa.float64()),
    pa.field("tempo_scale", pa.float64()),
    pa.field("split", pa.string()),
    pa.field("condition", pa.string()),
    pa.field("piece", pa.string()),
]
_PIECES_A_TASK = 8
_PIECES_IN_PARALLEL = 50
"""With fewer pieces, other processes would take longer to start than to work."""


@dataclass(frozen=True)
class Augmentation:
    """How performances may be changed: at most so many semitones, and factors between two bounds."""

    transpose: int
    velocity_scale: tuple[float, float]
    tempo_scale: tuple[float, float]


@dataclass(frozen=True)
class PlanSettings:
    """All that decides, beside the sources, which clips there are; ``hours`` None is everything once.

    ``conditions`` are those of sampled pianos; recordings have their own. Only training clips are augmented.
    """

    hours: float | None
    validation: float
    test: float
    lengths: ClipLengths
    pedal: PedalPolicy
    conditions: Conditions
    augmentation: Augmentation
    tail: float
    seed: int


@dataclass(frozen=True)
class PlannedClip:
    """A part of a performance; ``source`` is the place of its source."""

    source: int
    piece: SourcePiece
    split: Split
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it takes as it was played."""
        return self.end - self.start


def plan_clips(
    sources: Sequence[Sequence[SourcePiece]], shares: Sequence[float], settings: PlanSettings, inputs: Inputs
) -> tuple[pa.Table, list[str]]:
    """The manifest of a corpus, and what is wrong with the files that are left out, each with its reason.

    JobError if no clip is left.
    """
    splits = split_pieces([piece for source in sources for piece in source], settings)
    rows: list[PlannedClip] = []
    faults: dict[str, str] = {}
    with _parallel(sum(map(len, sources))) as run:
        for number, (source, share) in enumerate(zip(sources, shares, strict=True)):
            passes = _passes(run, number, source, splits, settings, inputs, faults)
            if settings.hours is None:
                rows += next(passes)
                continue
            wanted: dict[Split, float] = {
                "validation": settings.validation * share * settings.hours * SECONDS_PER_HOUR,
                "test": settings.test * share * settings.hours * SECONDS_PER_HOUR,
                "train": (1 - settings.validation - settings.test) * share * settings.hours * SECONDS_PER_HOUR,
            }
            rows += _enough(passes, wanted)
    if not rows:
        raise JobError(f"no performance is long enough for a clip of {settings.lengths.shortest:g} s")
    return _table(rows, settings), [f"{midi}: {reason}" for midi, reason in sorted(faults.items())]


def split_pieces(pieces: Iterable[SourcePiece], settings: PlanSettings) -> Mapping[str, Split]:
    """Each piece's split: the one that a table gives, or one drawn so that the shares are met, piece by piece."""
    splits: dict[str, Split] = {}
    names: set[str] = set()
    for piece in pieces:
        names.add(piece.piece)
        if piece.split is not None:
            given: Split = "train" if piece.split == "train" else "test" if piece.split == "test" else "validation"
            if splits.setdefault(piece.piece, given) != given:
                raise JobError(f"piece {piece.piece!r} is in two splits: {given} and {splits[piece.piece]}")
    drawn = sorted(names - set(splits), key=lambda name: digest(settings.seed, "split", name))
    validation = math.ceil(settings.validation * len(drawn))
    test = math.ceil(settings.test * len(drawn))
    if validation + test >= len(drawn) and drawn:
        raise JobError(
            f"{len(drawn)} pieces are too few for training, validation and test; give --validation 0 --test 0"
        )
    for place, name in enumerate(drawn):
        splits[name] = "validation" if place < validation else "test" if place < validation + test else "train"
    return splits


@contextmanager
def _parallel(pieces: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """``map``, on all cores if there are many pieces."""
    if pieces < _PIECES_IN_PARALLEL:
        yield map
        return
    with worker_processes() as pool:
        yield pool.map


def _passes(
    run: Callable[..., Iterator[Any]],
    number: int,
    source: Sequence[SourcePiece],
    splits: Mapping[str, Split],
    settings: PlanSettings,
    inputs: Inputs,
    faults: dict[str, str],
) -> Iterator[list[PlannedClip]]:
    """Everything of a source once, and again without end, each time cut at other places; in random order."""
    for turn in count():
        clips: list[PlannedClip] = []
        tasks = [source[start : start + _PIECES_A_TASK] for start in range(0, len(source), _PIECES_A_TASK)]
        for task, found in zip(tasks, run(_Cutter(settings, inputs, turn), tasks), strict=True):
            for piece, cuts in zip(task, found, strict=True):
                if isinstance(cuts, str):
                    faults[piece.midi] = cuts
                    continue
                clips += [PlannedClip(number, piece, splits[piece.piece], start, end) for start, end in cuts]
        yield [clips[place] for place in generator(settings.seed, "order", number, turn).permutation(len(clips))]


@dataclass(frozen=True)
class _Cutter:
    """Reads and cuts some performances; a text is the reason why one cannot be."""

    settings: PlanSettings
    inputs: Inputs
    turn: int

    def __call__(self, pieces: Sequence[SourcePiece]) -> list[list[tuple[float, float]] | str]:
        return [self._cut(piece) for piece in pieces]

    def _cut(self, piece: SourcePiece) -> list[tuple[float, float]] | str:
        settings, (slowest, fastest) = self.settings, self.settings.augmentation.tempo_scale
        if piece.audio is not None:
            lengths = settings.lengths
        else:
            longest = (settings.lengths.longest - settings.tail) * min(1.0, slowest)
            lengths = ClipLengths(settings.lengths.shortest * max(1.0, fastest), longest)
        try:
            notes = read_midi(self.inputs.local(piece.midi), settings.pedal).notes
        except (MidiError, JobError) as error:
            return str(error)
        return list(cut_clips(notes, lengths, generator(settings.seed, "cut", piece.midi, self.turn)))


def _enough(passes: Iterator[list[PlannedClip]], wanted: Mapping[Split, float]) -> list[PlannedClip]:
    """Clips until there are as many seconds in every split as are wanted, as far as it has pieces at all."""
    found: list[PlannedClip] = []
    seconds = dict.fromkeys(wanted, 0.0)
    for clips in passes:
        there = {clip.split for clip in clips}
        for clip in clips:
            if seconds[clip.split] < wanted[clip.split]:
                found.append(clip)
                seconds[clip.split] += clip.seconds
        if all(seconds[split] >= wanted[split] for split in there):
            return found
    return found


def _table(clips: Sequence[PlannedClip], settings: PlanSettings) -> pa.Table:
    random = generator(settings.seed, "conditions")
    # Clips of one performance side by side, so that it is read once; first those that a training is validated with,
    # so that one can begin before a corpus is finished.
    order: tuple[Split, ...] = ("validation", "train", "test")
    clips = sorted(
        clips, key=lambda clip: (order.index(clip.split), digest(settings.seed, clip.piece.midi), clip.piece.midi)
    )
    numbers: dict[Split, count[int]] = {"train": count(), "validation": count(), "test": count()}
    recorded = [clip.piece.audio is not None for clip in clips]
    dealt = iter(settings.conditions.dealt([clip.split for clip in clips if clip.piece.audio is None], random))
    conditions = [clip.piece.condition if audio else next(dealt) for clip, audio in zip(clips, recorded, strict=True)]
    changes = [_change(clip, settings.augmentation, random) for clip in clips]
    columns: dict[str, list[Any]] = {
        "item_id": [f"{clip.split}-{next(numbers[clip.split]):06d}" for clip in clips],
        "midi": [clip.piece.midi for clip in clips],
        "prompt": [None if audio else name for audio, name in zip(recorded, conditions, strict=True)],
        "prompt_audio": [clip.piece.audio for clip in clips],
        "prompt_midi": [clip.piece.midi if clip.piece.audio is not None else None for clip in clips],
        "start_s": [clip.start for clip in clips],
        "end_s": [clip.end for clip in clips],
        "transpose": [change[0] for change in changes],
        "velocity_scale": [change[1] for change in changes],
        "tempo_scale": [change[2] for change in changes],
        "split": [clip.split for clip in clips],
        "condition": conditions,
        "piece": [clip.piece.piece for clip in clips],
    }
    return pa.table(columns, pa.schema(_FIELDS))


def _change(clip: PlannedClip, allowed: Augmentation, random: np.random.Generator) -> tuple[int, float, float]:
    transpose = int(random.integers(-allowed.transpose, allowed.transpose + 1))
    velocity, tempo = (
        round(math.exp(random.uniform(math.log(low), math.log(high))), 4)
        for low, high in (allowed.velocity_scale, allowed.tempo_scale)
    )
    return (0, 1.0, 1.0) if clip.piece.audio is not None or clip.split != "train" else (transpose, velocity, tempo)
