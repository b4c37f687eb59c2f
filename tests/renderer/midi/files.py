"""MIDI files for tests, out of events at ticks; 960 ticks are a second where nothing else is said."""

import io
from collections.abc import Sequence

import mido
from mido import Message, MetaMessage

from renderer.midi.midi_file import read_midi
from renderer.midi.notes import PedalPolicy

Event = tuple[int, mido.Message | mido.MetaMessage]
"""At a tick."""


def midi_file(*tracks: Sequence[Event], division: int = 480, kind: int = 1) -> bytes:
    midi = mido.MidiFile(type=kind, ticks_per_beat=division)
    for events in tracks:
        track = midi.add_track()
        now = 0
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
    file = io.BytesIO()
    midi.save(file=file)
    return file.getvalue()


def raw_file(track: bytes, division: int = 480) -> bytes:
    header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1]) + (division & 0xFFFF).to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def note(start: int, end: int, pitch: int = 60, velocity: int = 64, channel: int = 0) -> list[Event]:
    return [
        (start, Message("note_on", note=pitch, velocity=velocity, channel=channel)),
        (end, Message("note_off", note=pitch, channel=channel)),
    ]


def strike(tick: int, pitch: int = 60, velocity: int = 64, channel: int = 0) -> Event:
    return tick, Message("note_on", note=pitch, velocity=velocity, channel=channel)


def release(tick: int, pitch: int = 60, channel: int = 0) -> Event:
    return tick, Message("note_off", note=pitch, channel=channel)


def control(tick: int, controller: int, value: int = 0, channel: int = 0) -> Event:
    return tick, Message("control_change", control=controller, value=value, channel=channel)


def sustain(tick: int, value: int, channel: int = 0) -> Event:
    return control(tick, 64, value, channel)


def tempo(tick: int, microseconds: int) -> Event:
    return tick, MetaMessage("set_tempo", tempo=microseconds)


def spans(data: bytes, pedal: PedalPolicy = "extend") -> list[tuple[float, float]]:
    """What is played, as onsets and offsets in seconds."""
    notes = read_midi(data, pedal).notes
    return list(zip(notes.onset.tolist(), notes.offset.tolist(), strict=True))
