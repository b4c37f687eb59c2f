"""MIDI files to performances, and notes to MIDI files.

miditoolkit writes the files. Its reader is not used: it drops unclosed notes, mixes up the tempo changes of several
tracks, overlooks a pedal on a track of its own, and refuses damage that others read over. It is imported when a file is
written: a training from codes alone runs where it is not installed.
"""

import io
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from renderer.errors import MidiError
from renderer.midi.events import MidiEvents, PedalEvents, read_events
from renderer.midi.limits import MidiLimits
from renderer.midi.notes import (
    HIGHEST_KEY,
    LOWEST_KEY,
    BoolArray,
    FloatArray,
    IntArray,
    NoteReport,
    Notes,
    PedalChannels,
    PedalPolicy,
    Performance,
)
from renderer.midi.pedal import LONGEST_HOLD, Pedal, one_pedal
from renderer.midi.tempo import TempoMap

DEFAULT_LIMITS = MidiLimits()

READING = 2
"""Raised by every change that gives some file other notes. 1: pairs first in, first out; 2: README.md beside this."""

SAME_STRIKE = 0.01
"""Seconds. No piano key can be struck twice within them: that is one strike, doubled in the file."""

BEATS_PER_MINUTE, TICKS_PER_BEAT, TICKS_PER_SECOND = 120, 480, 960
"""The grid of what is written. A common reader, pretty_midi, refuses files beyond 1e7 ticks: here, 2.9 h."""


def read_midi(
    source: Path | str | bytes,
    pedal: PedalPolicy = "extend",
    limits: MidiLimits = DEFAULT_LIMITS,
    *,
    pedal_channels: PedalChannels = "any",
    strict: bool = False,
) -> Performance:
    """What a piano plays of a MIDI file: given as a path or as its content.

    The tempo changes of all tracks are honoured, and all tracks and channels but drums are merged onto one
    keyboard of 88 keys. One key struck twice within 10 ms is one strike, with the first onset, the greater
    velocity and the later offset; a key that is struck again while it sounds ends there. With ``pedal``
    "extend" an offset moves to where the sustain pedal (of "any" or of "each" note's channel) and the sostenuto
    pedal let it end, or the key is struck again, at most 6 s later. A note without a note-off ends there too, or
    with its track. Which note-off ends which note, and what is mended in a damaged file, README.md beside this
    file tells; ``strict`` refuses a file that would have to be mended. The report counts each of these.

    Raises MidiError with the reason, and the path if there is one.
    """
    if pedal not in ("ignore", "extend"):
        raise ValueError(f"pedal is {pedal!r}; it must be 'ignore' or 'extend'")
    if pedal_channels not in ("each", "any"):
        raise ValueError(f"pedal_channels is {pedal_channels!r}; it must be 'each' or 'any'")
    try:
        data = source if isinstance(source, bytes) else _content(Path(source), limits.bytes)
        if len(data) > limits.bytes:
            raise MidiError(f"the file is larger than {limits.bytes} bytes")
        events = read_events(data, limits)
        if strict and (mended := events.damage.mended):
            found = ", ".join(f"{name} {count}" for name, count in mended.items())
            raise MidiError(f"damaged, and a strict reading mends nothing: {found}")
        return _performance(events, pedal, pedal_channels, limits)
    except MidiError as error:
        if isinstance(source, bytes):
            raise
        raise MidiError(f"{source}: {error}") from error


def midi_bytes(notes: Notes, controls: Iterable[tuple[int, int, float]] = ()) -> bytes:
    """Notes as a MIDI file of one piano track at 120 beats per minute; the same notes give the same bytes.

    Times are rounded to 1/960 s, and no note is shorter than that. Reading it back gives the same notes,
    provided that no key is struck again while it sounds, as :func:`read_midi` makes sure. ``controls`` are pedals'
    moves, in order: controller, value, seconds. Raises ValueError for negative onsets.
    """
    import miditoolkit

    if len(notes) and notes.onset[0] < 0:
        raise ValueError(f"the first onset is {notes.onset[0]} s; a MIDI file begins at 0 s")
    onset, offset = (np.rint(seconds * TICKS_PER_SECOND).astype(np.int64) for seconds in (notes.onset, notes.offset))
    columns = (notes.velocity, notes.pitch, onset, np.maximum(offset, onset + 1))
    # In the order of what is written, which rounding may have changed.
    order = np.lexsort((offset, notes.pitch, onset))
    piano = miditoolkit.Instrument(program=0, name="piano")
    piano.notes = [
        miditoolkit.Note(*note) for note in zip(*(column[order].tolist() for column in columns), strict=True)
    ]
    piano.control_changes = [
        miditoolkit.ControlChange(number, value, round(seconds * TICKS_PER_SECOND))
        for number, value, seconds in controls
    ]
    midi = miditoolkit.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    midi.tempo_changes = [miditoolkit.TempoChange(BEATS_PER_MINUTE, 0)]
    midi.instruments = [piano]
    file = io.BytesIO()
    midi.dump(file=file)
    return file.getvalue()


def write_midi(notes: Notes, path: Path | str) -> None:
    """:func:`midi_bytes` into a file, which is replaced where it exists."""
    Path(path).write_bytes(midi_bytes(notes))


def _content(path: Path, limit: int) -> bytes:
    """The file's bytes, at most one more than ``limit``."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise MidiError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _performance(
    events: MidiEvents, pedal: PedalPolicy, pedal_channels: PedalChannels, limits: MidiLimits
) -> Performance:
    tempo = TempoMap(events.division, events.tempo_tick, events.tempo)
    onset, release = tempo.seconds(events.onset), tempo.seconds(events.offset)
    sure = events.closed & ~events.elsewhere
    release = np.where(sure, release, np.minimum(release, onset + LONGEST_HOLD))
    offset = release if pedal == "ignore" else _held(onset, release, events, tempo, pedal_channels)
    playable = (events.pitch >= LOWEST_KEY) & (events.pitch <= HIGHEST_KEY)
    report = NoteReport(
        drums=events.drums,
        out_of_range=int((~playable).sum()),
        unclosed=int((playable & ~events.closed).sum()),
        offs_elsewhere=int((playable & events.elsewhere).sum()),
        stray_offs=events.stray_offs,
        notes_off=events.notes_off,
        **asdict(events.damage),
    )
    if (offset[playable] > onset[playable]).any():
        last = float(release[playable].max())
        if last > limits.seconds:
            raise MidiError(
                f"absurd length: the last note ends at {last:.0f} s; at most {limits.seconds:.0f} s are read"
            )
        times = onset[playable], release[playable], offset[playable]
        return _on_one_keyboard(*times, events.pitch[playable], events.velocity[playable], report)
    raise MidiError(
        f"no notes that a piano could play: {report.drums} on the drum channel, "
        f"{report.out_of_range} off the keyboard, {report.unclosed} without a note-off"
    )


def _held(
    onset: FloatArray, release: FloatArray, events: MidiEvents, tempo: TempoMap, channels: PedalChannels
) -> FloatArray:
    """Offsets (N,) under the pedals of any channel, or of each note's own."""
    end = float(tempo.seconds(np.array([events.end]))[0])

    def pedal(moves: PedalEvents) -> Pedal:
        return Pedal(tempo.seconds(moves.tick), one_pedal(moves.channel, moves.down), end)

    offset = release.copy()
    if channels == "any":
        offset = pedal(events.sustain).sustained(pedal(events.sostenuto).caught(onset, release))
    else:
        for channel in np.unique(np.concatenate([events.sustain.channel, events.sostenuto.channel])):
            here = events.channel == channel
            caught = pedal(events.sostenuto.of(channel)).caught(onset[here], release[here])
            offset[here] = pedal(events.sustain.of(channel)).sustained(caught)
    for channel in np.unique(events.silenced_channel):
        here = events.channel == channel
        times = np.append(tempo.seconds(events.silenced_tick[events.silenced_channel == channel]), np.inf)
        offset[here] = np.minimum(offset[here], times[np.searchsorted(times, release[here], side="left")])
    return np.minimum(offset, release + LONGEST_HOLD)


def _on_one_keyboard(
    onset: FloatArray,
    release: FloatArray,
    offset: FloatArray,
    pitch: IntArray,
    velocity: IntArray,
    report: NoteReport,
) -> Performance:
    """Notes (N,) of any number of hands, in any order, as one keyboard can play them."""
    order = np.lexsort((onset, pitch))
    onset, pitch = onset[order], pitch[order]
    strikes = np.flatnonzero(_new_key(pitch) | (np.diff(onset, prepend=-np.inf) >= SAME_STRIKE))
    release = np.maximum.reduceat(release[order], strikes)
    offset = np.maximum.reduceat(offset[order], strikes)
    velocity = np.maximum.reduceat(velocity[order], strikes)
    onset, pitch = onset[strikes], pitch[strikes]
    sounds = offset > onset
    onset, release, offset = onset[sounds], release[sounds], offset[sounds]
    pitch, velocity = pitch[sounds], velocity[sounds]
    struck_again = np.where(np.append(_new_key(pitch)[1:], True), np.inf, np.append(onset[1:], np.inf))
    return Performance(
        Notes.of(onset, np.minimum(offset, struck_again), pitch, velocity),
        replace(
            report,
            duplicates=len(order) - len(strikes),
            no_length=int((~sounds).sum()),
            overlaps_cut=int((release > struck_again).sum()),
            pedal_extended=int((np.minimum(offset, struck_again) > release).sum()),
        ),
    )


def _new_key(pitch: IntArray) -> BoolArray:
    """Where another key begins (N,), in notes that are sorted by key."""
    return np.diff(pitch, prepend=-1) > 0
