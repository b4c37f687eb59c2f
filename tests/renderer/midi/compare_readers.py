"""Our reader beside pretty_midi and symusic, on real files and on damaged variants of them.

``python -m tests.renderer.midi.compare_readers FILES`` (or a folder of them) tells, note by note, where these two agree
and ours does not. README.md of renderer/midi says what was found, and why.
"""

import io
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from renderer.midi.midi_file import SAME_STRIKE, read_midi
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY
from tests.renderer.midi.damages import HARMLESS, variants

CLOSE = 1e-3
"""Seconds. Times that differ by less are the same."""

Played = npt.NDArray[np.float64]
"""Notes (N, 3), sorted: key, onset and offset in seconds."""


def read_with_ours(data: bytes) -> Played:
    """The notes of a file as we read it, without pedals."""
    notes = read_midi(data, "ignore").notes
    return _sorted(np.stack([notes.pitch, notes.onset, notes.offset], 1))


def read_with_pretty_midi(data: bytes) -> Played:
    """The notes of a file as pretty_midi reads it."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(io.BytesIO(data))
    return _on_one_keyboard([(n.pitch, n.start, n.end) for i in midi.instruments if not i.is_drum for n in i.notes])


def read_with_symusic(data: bytes) -> Played:
    """The notes of a file as symusic reads it."""
    import symusic

    read: Any = symusic.Score.from_midi(data)
    score = read.to("second")
    return _on_one_keyboard([(n.pitch, n.start, n.end) for t in score.tracks if not t.is_drum for n in t.notes])


def _on_one_keyboard(notes: Sequence[tuple[float, float, float]]) -> Played:
    """Notes as one keyboard of 88 keys can play them: strikes within 10 ms are one, and a new one ends the last."""
    played: list[list[float]] = []
    for key, onset, offset in sorted(notes):
        if not LOWEST_KEY <= key <= HIGHEST_KEY or offset <= onset:
            continue
        if played and played[-1][0] == key:
            last = played[-1]
            if onset - last[1] < SAME_STRIKE:
                last[2] = max(last[2], offset)
                continue
            last[2] = min(last[2], onset)
        played.append([key, onset, offset])
    return _sorted(np.array(played).reshape(-1, 3))


def _sorted(notes: Played) -> Played:
    return notes[np.lexsort((notes[:, 1], notes[:, 0]))]


READERS = {"pretty_midi": read_with_pretty_midi, "symusic": read_with_symusic, "ours": read_with_ours}


def missing(wanted: Played, found: Played, columns: int = 3) -> Played:
    """The wanted notes that are not among those found; with two columns, whenever they end."""
    absent = [
        note
        for note in wanted
        if not (np.abs(found[_near(found, note), :columns] - note[:columns]) < CLOSE).all(axis=1).any()
    ]
    return np.array(absent).reshape(-1, 3)


def _near(notes: Played, note: Played) -> slice:
    """Where in sorted notes those of the same key and about the same onset are."""
    keys = slice(*np.searchsorted(notes[:, 0], note[0] + np.array([-0.5, 0.5])))
    first, last = np.searchsorted(notes[keys, 1], note[1] + np.array([-CLOSE, CLOSE]))
    return slice(keys.start + first, keys.start + last)


def is_same(notes: Played, others: Played) -> bool:
    """Whether these are the same notes."""
    return len(notes) == len(others) and not len(missing(notes, others))


@dataclass(frozen=True)
class Comparison:
    """A file, read by us and by two others.

    ``agreed`` counts notes that both others read alike; ``lost`` are those of them that we do not have at all,
    ``other_end`` those that end elsewhere with us, ``added`` notes of ours that neither has.
    """

    agreed: int
    lost: Played
    other_end: Played
    added: Played

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (len(self.lost) or len(self.other_end) or len(self.added))


def compare(data: bytes) -> Comparison | str:
    """Compare the three readings of a file; who refuses it, if somebody does."""
    readings, refused = [], []
    for name, read in READERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                readings.append(read(data))
        except Exception:  # The others raise whatever comes.
            refused.append(name)
    if refused:
        return f"refused by {', '.join(refused)}"
    theirs, others, ours = readings
    unknown = missing(theirs, others)
    agreed = missing(theirs, unknown)
    differing = missing(agreed, ours)
    lost = missing(differing, ours, columns=2)
    return Comparison(
        agreed=len(agreed),
        lost=lost,
        other_end=missing(differing, lost),
        added=missing(missing(ours, theirs, columns=2), others, columns=2),
    )


def main(places: Sequence[str]) -> None:
    """Print the outcome for each kind of damage, and the first notes of each file that differ."""
    paths = [p for place in map(Path, places) for p in ([place] if place.is_file() else sorted(place.rglob("*.mid")))]
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    harmless = {damage.__name__ for damage in HARMLESS}
    for path in paths:
        whole = read_with_ours(path.read_bytes())
        for kind, data in variants(path):
            found = compare(data)
            totals[kind].update(_outcome(found))
            if kind in harmless:
                totals[kind]["read as if it were whole"] += is_same(read_with_ours(data), whole)
            if isinstance(found, Comparison) and not found.is_same:
                print(f"{path.name}, {kind}: {_first_notes(found)}")
    for kind, total in totals.items():
        print(kind, dict(total))


def _outcome(found: Comparison | str) -> dict[str, int]:
    if isinstance(found, str):
        return {found: 1}
    notes = {"notes agreed": found.agreed, "lost": len(found.lost), "other end": len(found.other_end)}
    return notes | {"added": len(found.added), "files": 1, "files that differ": int(not found.is_same)}


def _first_notes(found: Comparison) -> str:
    kinds = {"lost": found.lost, "other end": found.other_end, "added": found.added}
    return "; ".join(
        f"{name} {len(notes)}, as key {notes[0, 0]:.0f}, {notes[0, 1]:.4f} to {notes[0, 2]:.4f} s"
        for name, notes in kinds.items()
        if len(notes)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
