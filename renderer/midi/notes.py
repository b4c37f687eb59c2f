"""Notes: what a piano plays, in seconds. Nothing here knows MIDI files or tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from renderer.errors import MidiError
from renderer.midi.limits import LONGEST_SECONDS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PedalPolicy = Literal["ignore", "extend"]
"""What the sustain pedal does to notes: nothing, or it moves an offset to where the pedal lifts."""

PedalChannels = Literal["each", "any"]
"""Which notes a pedal holds: those of its own channel, or, as one piano has one pedal, those of all channels."""

LOWEST_KEY, HIGHEST_KEY = 21, 108
KEYS = HIGHEST_KEY - LOWEST_KEY + 1
"""The piano's keyboard, A0 to C8, as MIDI keys, and how many there are."""


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes as arrays of equal length (N,), sorted by (onset, pitch, duration). Build them with :meth:`of`.

    ``onset`` and ``offset`` are float64 seconds with offset > onset; ``pitch`` is a MIDI key 0..127 and
    ``velocity`` 1..127, both int64. The arrays cannot be written to.
    """

    onset: FloatArray
    offset: FloatArray
    pitch: IntArray
    velocity: IntArray

    @classmethod
    def of(
        cls,
        onset: npt.ArrayLike,
        offset: npt.ArrayLike,
        pitch: npt.ArrayLike,
        velocity: npt.ArrayLike,
    ) -> "Notes":
        """Notes from four arrays or sequences (N,) in any order.

        Raises ValueError where lengths differ, a time is not finite, a note does not end after it begins,
        or a pitch or velocity is outside its range.
        """
        onsets, offsets = np.asarray(onset, np.float64), np.asarray(offset, np.float64)
        pitches, velocities = np.asarray(pitch, np.int64), np.asarray(velocity, np.int64)
        arrays = (onsets, offsets, pitches, velocities)
        if onsets.ndim != 1 or any(array.shape != onsets.shape for array in arrays):
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ValueError(f"onset, offset, pitch and velocity must be (N,) alike, not {shapes}")
        _check("time is not finite", ~(np.isfinite(onsets) & np.isfinite(offsets)), onsets)
        _check("offset is not after the onset", offsets <= onsets, onsets)
        _check("pitch is outside 0..127", (pitches < 0) | (pitches > 127), onsets)
        _check("velocity is outside 1..127", (velocities < 1) | (velocities > 127), onsets)
        order = np.lexsort((offsets - onsets, pitches, onsets))
        notes = cls(onsets[order], offsets[order], pitches[order], velocities[order])
        for field in fields(notes):
            getattr(notes, field.name).setflags(write=False)
        return notes

    @classmethod
    def none(cls) -> "Notes":
        """No notes at all."""
        return cls.of([], [], [], [])

    @classmethod
    def joined(cls, *parts: "Notes") -> "Notes":
        """All notes of all parts, times as they are."""
        if not parts:
            return cls.none()
        return cls.of(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.onset)

    @property
    def end(self) -> float:
        """The last offset in seconds; 0.0 where there are no notes."""
        return float(self.offset.max(initial=0.0))

    @property
    def duration(self) -> FloatArray:
        """Offset minus onset (N,) in seconds."""
        return self.offset - self.onset

    def shifted(self, seconds: float) -> "Notes":
        """The same notes, ``seconds`` later."""
        return Notes.of(self.onset + seconds, self.offset + seconds, self.pitch, self.velocity)

    def selected(self, mask: BoolArray | Sequence[bool]) -> "Notes":
        """The notes where ``mask`` (N,) is true."""
        keep = np.asarray(mask, np.bool_)
        return Notes.of(self.onset[keep], self.offset[keep], self.pitch[keep], self.velocity[keep])

    def clipped(self, start: float, end: float) -> "Notes":
        """What sounds in [start, end), cut to it; times are not shifted."""
        sounding = self.selected((self.onset < end) & (self.offset > start))
        onset, offset = np.maximum(sounding.onset, start), np.minimum(sounding.offset, end)
        return Notes.of(onset, offset, sounding.pitch, sounding.velocity)


def _check(fault: str, wrong: BoolArray, onset: FloatArray) -> None:
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"{fault}: note {first} with onset {onset[first]} s, {wrong.sum()} note(s) in all")


@dataclass(frozen=True)
class NoteReport:
    """Every decision between a file's notes and the notes that are rendered, as counts of notes.

    Left out: ``drums``; ``out_of_range``, outside 21..108; ``duplicates``, one key struck twice within
    10 ms, of which one strike stays; ``no_length``, let go where it is struck; ``sounding_at_start``, struck before an
    excerpt begins.

    Changed: ``unclosed``, without a note-off, so ended by rule (left out where nothing follows the onset);
    ``overlaps_cut``, ended where the same key is struck again; ``pedal_extended``, ended later than the key
    is released; ``cut_at_end``, ended at an excerpt's end; ``velocity_clamped``.

    Ended by something else than a note-off of their own track and channel: ``offs_elsewhere``, by one of another track
    or channel; ``notes_off``, by a controller. ``stray_offs`` are note-offs that end nothing. Mended in a damaged file:
    ``tracks_miscounted``, ``track_lengths_mended``, ``bytes_skipped``, ``events_mended`` and ``events_skipped``.
    ``events_irregular`` are against the specification, but have one meaning.
    """

    drums: int = 0
    out_of_range: int = 0
    duplicates: int = 0
    no_length: int = 0
    unclosed: int = 0
    overlaps_cut: int = 0
    pedal_extended: int = 0
    sounding_at_start: int = 0
    cut_at_end: int = 0
    velocity_clamped: int = 0
    offs_elsewhere: int = 0
    notes_off: int = 0
    stray_offs: int = 0
    tracks_miscounted: int = 0
    track_lengths_mended: int = 0
    bytes_skipped: int = 0
    events_mended: int = 0
    events_skipped: int = 0
    events_irregular: int = 0


@dataclass(frozen=True)
class Excerpt:
    """A part of a performance, from ``start`` up to ``end`` in seconds (None: to its end), and changes to it.

    ``transpose`` is in semitones. Velocities are multiplied by ``velocity_scale``, rounded to the nearest
    (half to even) and clamped to 1..127. ``tempo_scale`` is how many times as fast it is played; ``start`` and
    ``end`` count in the time before that. Raises ValueError for values that make no sense.
    """

    start: float = 0.0
    end: float | None = None
    transpose: int = 0
    velocity_scale: float = 1.0
    tempo_scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and self.start >= 0):
            raise ValueError(f"start is {self.start} s; it must be 0 or more")
        if self.end is not None and not (np.isfinite(self.end) and self.end > self.start):
            raise ValueError(f"end is {self.end} s; it must be after the start, {self.start} s")
        if abs(self.transpose) > HIGHEST_KEY - LOWEST_KEY:
            raise ValueError(f"transpose is {self.transpose} semitones; the keyboard has only 88 keys")
        for name in ("velocity_scale", "tempo_scale"):
            scale = getattr(self, name)
            if not (np.isfinite(scale) and scale > 0):
                raise ValueError(f"{name} is {scale}; it must be a positive number")


@dataclass(frozen=True)
class Performance:
    """The notes to render, and what was decided on the way to them; ``part`` says of what they are an excerpt."""

    notes: Notes
    report: NoteReport
    part: Excerpt = Excerpt()

    def excerpt(self, excerpt: Excerpt) -> "Performance":
        """The notes struck in [start, end), cut at the end, transposed and scaled; the start becomes 0 s.

        Notes struck before the start are left out even where they still sound: half a note cannot be struck.
        Where nothing is to be changed, it is the performance itself. Raises MidiError where no note is left, or where
        the tempo makes it longer than ``LONGEST_SECONDS``.
        """
        if excerpt == Excerpt():
            return self
        notes = self.notes
        end = np.inf if excerpt.end is None else excerpt.end
        pitch = notes.pitch + excerpt.transpose
        inside = (notes.onset >= excerpt.start) & (notes.onset < end)
        playable = (pitch >= LOWEST_KEY) & (pitch <= HIGHEST_KEY)
        kept = inside & playable
        if not kept.any():
            part = f"{excerpt.start} s to {'the end' if excerpt.end is None else f'{excerpt.end} s'}"
            raise MidiError(
                f"no notes in the excerpt from {part}, transposed by {excerpt.transpose}: "
                f"the performance has {len(notes)} notes and ends at {notes.end:.3f} s"
            )
        scaled = np.rint(notes.velocity * excerpt.velocity_scale)
        velocity = np.clip(scaled, 1, 127)
        report = replace(
            self.report,
            out_of_range=self.report.out_of_range + int((inside & ~playable).sum()),
            sounding_at_start=self.report.sounding_at_start
            + int(((notes.onset < excerpt.start) & (notes.offset > excerpt.start)).sum()),
            cut_at_end=self.report.cut_at_end + int((kept & (notes.offset > end)).sum()),
            velocity_clamped=self.report.velocity_clamped + int((kept & (scaled != velocity)).sum()),
        )
        with np.errstate(over="ignore"):
            onset = (notes.onset[kept] - excerpt.start) / excerpt.tempo_scale
            offset = (np.minimum(notes.offset[kept], end) - excerpt.start) / excerpt.tempo_scale
        if offset.max() > LONGEST_SECONDS:
            raise MidiError(
                f"at tempo_scale {excerpt.tempo_scale:g} it ends after {offset.max():.0f} s; "
                f"at most {LONGEST_SECONDS:.0f} s are rendered as one"
            )
        return Performance(Notes.of(onset, offset, pitch[kept], velocity[kept]), report, excerpt)
