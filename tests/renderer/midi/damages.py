"""Damages that MIDI files have, made in whole ones."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]


def truncate(data: bytes, random: np.random.Generator) -> bytes:
    """The file's last part is lost."""
    return data[: random.integers(len(data) // 2, len(data))]


def change_track_length(data: bytes, random: np.random.Generator) -> bytes:
    """A track's length is a little wrong, nothing, or absurd."""
    place = _track(data, random) + 4
    length = int.from_bytes(data[place : place + 4], "big")
    wrong = (length + 6, max(0, length - 4), 0, 2**32 - 1)[random.integers(4)]
    return data[:place] + wrong.to_bytes(4, "big") + data[place + 4 :]


def add_stray_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes stand before a track, or behind the last one."""
    place = len(data) if random.integers(2) else _track(data, random)
    return data[:place] + bytes(random.integers(1, 9)) + data[place:]


def miscount_tracks(data: bytes, random: np.random.Generator) -> bytes:
    """The header has one track more or less than there are."""
    count = int.from_bytes(data[10:12], "big") + (1 if random.integers(2) else -1)
    return data[:10] + count.to_bytes(2, "big") + data[12:]


def lose_note_offs(data: bytes, random: np.random.Generator) -> bytes:
    """One note-off in fifty is lost."""
    return _with_messages(data, lambda message: [] if _is_off(message) and random.random() < 0.02 else [message])


def double_note_offs(data: bytes, random: np.random.Generator) -> bytes:
    """One note-off in fifty comes twice."""
    return _with_messages(data, lambda message: [message] * (1 + (_is_off(message) and random.random() < 0.02)))


def double_strikes(data: bytes, random: np.random.Generator) -> bytes:
    """One strike in fifty comes twice."""
    return _with_messages(data, lambda message: [message] * (1 + (_is_on(message) and random.random() < 0.02)))


def add_empty_notes(data: bytes, random: np.random.Generator) -> bytes:
    """Before one strike in fifty stands a note that is struck and let go at the same tick."""

    def change(message: mido.Message) -> list[mido.Message]:
        if not (_is_on(message) and random.random() < 0.02):
            return [message]
        return [message, mido.Message("note_off", note=message.note, channel=message.channel), message]

    return _with_messages(data, change)


def shorten_tempos(data: bytes, random: np.random.Generator) -> bytes:
    """A tempo change of two bytes stands at the beginning of a track."""
    place = _track(data, random) + 8
    length = int.from_bytes(data[place - 4 : place], "big")
    event = b"\x00\xff\x51\x02\x07\xa1"
    return data[: place - 4] + (length + len(event)).to_bytes(4, "big") + event + data[place:]


HARMLESS: tuple[Damage, ...] = (
    change_track_length,
    add_stray_bytes,
    miscount_tracks,
    double_note_offs,
    double_strikes,
    add_empty_notes,
    shorten_tempos,
)
"""What is to be played is still certain."""

DAMAGES: tuple[Damage, ...] = (truncate, lose_note_offs, *HARMLESS)


def _track(data: bytes, random: np.random.Generator) -> int:
    """Where one of the tracks begins."""
    places = []
    place = 8 + int.from_bytes(data[4:8], "big")
    while place < len(data):
        places.append(place)
        place += 8 + int.from_bytes(data[place + 4 : place + 8], "big")
    return places[random.integers(len(places))]


def _is_on(message: mido.Message) -> bool:
    return message.type == "note_on" and message.velocity > 0


def _is_off(message: mido.Message) -> bool:
    return message.type == "note_off" or (message.type == "note_on" and message.velocity == 0)


def _with_messages(data: bytes, change: Callable[[mido.Message], list[mido.Message]]) -> bytes:
    """A file whose messages became none, one or several each; what is added comes at the same tick."""
    midi = mido.MidiFile(file=io.BytesIO(data))
    for track in midi.tracks:
        waited, changed = 0, []
        for message in track:
            waited += message.time
            for each in change(message):
                changed.append(each.copy(time=waited))
                waited = 0
        track[:] = changed
    file = io.BytesIO()
    midi.save(file=file)
    return file.getvalue()


def variants(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file as it is, and with each damage, by its name; always the same ones."""
    data = path.read_bytes()
    yield "as it is", data
    random = np.random.default_rng(len(data))
    for damage in DAMAGES:
        yield damage.__name__, damage(data, random)
