"""A part of a MIDI file as a file of its own, pedals included: whoever reads it decides what they do."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from renderer.midi.events import PedalEvents, read_events
from renderer.midi.limits import MidiLimits
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.pedal import one_pedal
from renderer.midi.tempo import TempoMap
from renderer.midi.track import SOSTENUTO, SUSTAIN

_DOWN, _UP = 127, 0


def midi_clip(path: Path | str, start: float, end: float) -> bytes:
    """The notes that begin in [start, end) seconds, ended there at the latest, and the pedals, which lift at the end.

    Times count from the start. A pedal is one for all channels, as :func:`read_midi` has it by default; read with
    either pedal policy, the notes are those of the whole, cut. MidiError as there.
    """
    data = Path(path).read_bytes()
    notes = read_midi(path, "ignore").notes
    begins = notes.selected((notes.onset >= start) & (notes.onset < end)).clipped(start, end).shifted(-start)
    events = read_events(data, MidiLimits())
    tempo = TempoMap(events.division, events.tempo_tick, events.tempo)
    pedals = ((SUSTAIN, events.sustain), (SOSTENUTO, events.sostenuto))
    moves = ((number, value, time) for number, pedal in pedals for value, time in _moves(pedal, tempo, start, end))
    return midi_bytes(begins, sorted(moves, key=lambda move: move[2]))


def _moves(pedal: PedalEvents, tempo: TempoMap, start: float, end: float) -> Iterator[tuple[int, float]]:
    """A pedal's values and times in a clip, in order; none where it neither moves nor is pressed in it."""
    times, down = tempo.seconds(pedal.tick), one_pedal(pedal.channel, pedal.down)
    first, last = (int(np.searchsorted(times, edge, side="right")) for edge in (start, end))
    held = first > 0 and bool(down[first - 1])
    if held:
        yield _DOWN, 0.0
    for place in range(first, last):
        yield _DOWN if down[place] else _UP, float(times[place]) - start
    if held or last > first:
        yield _UP, end - start
