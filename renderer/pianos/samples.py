"""The recordings of a piano: which file holds which key, and which velocities it is for."""

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from renderer.errors import AudioError
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY

AUDIO_SUFFIXES = (".ogg", ".flac", ".wav")
DYNAMICS_POINTS = 17
_NOTE = re.compile(r"([A-G])(#|s|b)?(-?\d+)v(\d+)")
_RELEASE = re.compile(r"rel(\d+)")
_SEMITONE = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_RELEASE_DB = -37.0
"""How much softer the noises of keys and dampers are played than they were recorded."""


@dataclass(frozen=True)
class Sample:
    """One recording: of ``key``, to be used for a range of keys and a range of velocities, both inclusive.

    ``decibels`` are added to it; ``dynamics`` says how many more from the softest to the loudest velocity, at
    ``DYNAMICS_POINTS`` velocities evenly spread, 0 in the middle; None where that is left to the recordings. It begins
    ``offset`` samples after the file does. A key that is released is silent after ``release_seconds``; None is for
    dampers like any grand's.
    """

    path: Path
    key: float
    lowest_key: int
    highest_key: int
    softest: int = 1
    loudest: int = 127
    is_release: bool = False
    decibels: float = 0.0
    dynamics: tuple[float, ...] | None = None
    offset: int = 0
    release_seconds: float | None = None


def find_samples(folder: Path) -> list[Sample]:
    """The recordings in a folder, and all folders in it, as the Salamander Grand names them.

    ``D#4v7`` is a key's seventh layer, the louder the higher; each serves its neighbours too where these were not
    recorded. ``rel1`` to ``rel88`` are the noises of the keys' release. AudioError if there are none.
    """
    layers: dict[int, dict[int, Path]] = defaultdict(dict)
    releases: list[Sample] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        if note := _NOTE.fullmatch(path.stem):
            layers[int(note[4])][_key(note)] = path
        elif (release := _RELEASE.fullmatch(path.stem)) and 1 <= int(release[1]) <= 88:
            key = LOWEST_KEY - 1 + int(release[1])
            releases.append(Sample(path, key, key, key, is_release=True, decibels=_RELEASE_DB))
    if not layers:
        raise AudioError(f"{folder}: holds no recordings of piano keys, named like D#4v7.ogg")
    samples: list[Sample] = []
    for place, (_, keys) in enumerate(sorted(layers.items())):
        softest, loudest = (128 * step // len(layers) for step in (place, place + 1))
        for key, (lowest, highest) in _ranges(sorted(keys)).items():
            samples.append(Sample(keys[key], key, lowest, highest, max(1, softest), loudest - 1))
    return samples + releases


def _key(note: re.Match[str]) -> int:
    accidental = {None: 0, "b": -1}.get(note[2], 1)
    return 12 * (int(note[3]) + 1) + _SEMITONE[note[1]] + accidental


def _ranges(keys: list[int]) -> dict[int, tuple[int, int]]:
    """The keys that each recorded one serves: those nearest to it."""
    middles = [(low + high) // 2 for low, high in pairwise(keys)]
    lowest = [LOWEST_KEY, *(middle + 1 for middle in middles)]
    return dict(zip(keys, zip(lowest, [*middles, HIGHEST_KEY], strict=True), strict=True))
