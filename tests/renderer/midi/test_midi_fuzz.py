"""Ten thousand damaged files: each is read or refused with a reason, soon, and in little memory."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import MidiError
from renderer.midi.limits import MidiLimits
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY, Performance

FILES = sorted((Path(__file__).parents[2] / "fixtures" / "tok").glob("*.mid"))
TELLING = (0x00, 0x01, 0x2F, 0x40, 0x51, 0x7F, 0x80, 0x81, 0x90, 0xB0, 0xC0, 0xF0, 0xF7, 0xF8, 0xFF)
"""Bytes that change what the others mean."""

Mutation = Callable[[bytearray, np.random.Generator], None]


def flip_bits(data: bytearray, random: np.random.Generator) -> None:
    for place in random.integers(len(data), size=random.integers(1, 9)):
        data[place] ^= 1 << random.integers(8)


def set_bytes(data: bytearray, random: np.random.Generator) -> None:
    for place in random.integers(len(data), size=random.integers(1, 5)):
        data[place] = TELLING[random.integers(len(TELLING))]


def truncate(data: bytearray, random: np.random.Generator) -> None:
    del data[random.integers(len(data)) :]


def delete(data: bytearray, random: np.random.Generator) -> None:
    start = random.integers(len(data))
    del data[start : start + random.integers(1, 64)]


def repeat(data: bytearray, random: np.random.Generator) -> None:
    start, length = random.integers(len(data)), random.integers(1, 200)
    data[start:start] = data[start : start + length] * int(random.integers(1, 50))


def insert_noise(data: bytearray, random: np.random.Generator) -> None:
    place = random.integers(len(data))
    data[place:place] = random.bytes(int(random.integers(1, 100)))


def edit_length(data: bytearray, random: np.random.Generator) -> None:
    """The length of a track, or of the header, or the number of tracks, type and division."""
    track = data.find(b"MTrk", random.integers(len(data)))
    place = track + 4 if track >= 0 and random.integers(2) else 4 + 2 * int(random.integers(5))
    size = 4 if place != 4 + 2 * 2 else 2
    data[place : place + size] = int(random.integers(0, 2 ** (8 * size))).to_bytes(size, "big")
    if random.integers(2):
        data[place : place + size - 1] = bytes(size - 1)


def splice(data: bytearray, random: np.random.Generator) -> None:
    other = FILES[random.integers(len(FILES))].read_bytes()
    data[random.integers(len(data)) :] = other[random.integers(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    set_bytes,
    truncate,
    delete,
    repeat,
    insert_noise,
    edit_length,
    splice,
)


def pedalled_file(random: np.random.Generator) -> bytes:
    """One track of two channels with running status, continuous pedal, tempo changes, system exclusive data."""
    track = bytearray(b"\x00\xff\x59\x02\x00\x00\x00\xf0\x05\x7e\x7f\x09\x01\xf7")
    for _ in range(150):
        channel, key = random.integers(2), random.integers(21, 109)
        track += bytes([random.integers(128), 0x90 | channel, key, random.integers(1, 128), 30, key, 0])
        track += bytes([random.integers(60), 0xB0 | channel, 64, random.integers(128)])
        if not random.integers(10):
            track += b"\x00\xff\x51\x03" + int(random.integers(200_000, 900_000)).to_bytes(3, "big")
    track += b"\x00\xff\x2f\x00"
    return b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk" + len(track).to_bytes(4, "big") + track


def damaged_files(count: int, seed: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    sources = [path.read_bytes() for path in FILES] + [pedalled_file(random) for _ in range(6)]
    for _ in range(count):
        data = bytearray(sources[random.integers(len(sources))])
        for mutation in random.integers(len(MUTATIONS), size=random.integers(1, 4)):
            if data:
                MUTATIONS[mutation](data, random)
        yield bytes(data)


def check_playable(performance: Performance) -> None:
    """What any file that was read must be: something to be played on a piano."""
    notes = performance.notes
    assert len(notes)
    assert notes.onset[0] >= 0
    assert notes.end <= MidiLimits().seconds + 6.0
    assert (notes.offset > notes.onset).all()
    assert notes.pitch.min() >= LOWEST_KEY
    assert notes.pitch.max() <= HIGHEST_KEY
    order = np.lexsort((notes.onset, notes.pitch))
    same_key = np.diff(notes.pitch[order]) == 0
    assert (notes.offset[order][:-1] <= notes.onset[order][1:])[same_key].all()


def fuzz(count: int, seed: int) -> dict[str, int]:
    """Reads ``count`` damaged files; how many were read, and how many refused for each reason."""
    outcomes: dict[str, int] = {}
    for number, data in enumerate(damaged_files(count, seed)):
        began = time.process_time()
        try:
            performance = read_midi(data, "extend" if number % 2 else "ignore")
        except MidiError as error:
            outcome = str(error).split(":")[0]
        else:
            outcome = "read"
            check_playable(performance)
            if number % 50 == 0:
                again = read_midi(midi_bytes(performance.notes), "ignore")
                assert len(again.notes) == len(performance.notes)
        assert time.process_time() - began < 2.0, f"file {number} of seed {seed}"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files_are_read_or_refused(seed: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = fuzz(1000, seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    # The damage is neither so light that all files are read nor so heavy that none is.
    assert outcomes["read"] > 100
    assert outcomes["truncated"] > 100
    assert outcomes["damaged"] > 100
