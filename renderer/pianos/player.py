"""Who plays: touch and timing by rule, as every player has their own, where MIDI files have little of either."""

import math
from dataclasses import dataclass

import numpy as np

from renderer.midi.notes import FloatArray, IntArray, Notes

_CHORD_SECONDS = 0.035
"""What is struck within so short a time is a chord."""

_SHORTEST_SECONDS = 0.03
_SOFTEST = 10
_CONTOUR_STEP = 0.25


@dataclass(frozen=True)
class Player:
    """What is done to velocities and times; by default nothing.

    Velocities: ``loudness`` is added, ``contrast`` is how many times as far they are from the performance's mean,
    ``swell`` the standard deviation of slow waves about ``phrase`` seconds long, ``melody`` what the top of a chord is
    louder by than the rest, ``uneven`` a standard deviation from note to note.

    Seconds: ``loose`` is a standard deviation of onsets, ``lead`` what the top of a chord comes earlier by.
    ``legato`` is how many times as long notes are held, at most 1.
    """

    loudness: float = 0.0
    contrast: float = 1.0
    swell: float = 0.0
    phrase: float = 6.0
    melody: float = 0.0
    uneven: float = 0.0
    loose: float = 0.0
    lead: float = 0.0
    legato: float = 1.0

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Player":
        """Any player; some play what is written."""
        return cls(
            loudness=random.uniform(-24.0, 14.0),
            contrast=random.uniform(0.8, 1.6),
            swell=random.uniform(0.0, 12.0),
            phrase=math.exp(random.uniform(math.log(3.0), math.log(12.0))),
            melody=random.uniform(0.0, 14.0),
            uneven=random.uniform(0.0, 5.0),
            loose=random.uniform(0.0, 0.007),
            lead=random.uniform(0.0, 0.015),
            legato=min(1.0, random.uniform(0.7, 1.3)),
        )

    def play(self, notes: Notes, seed: int) -> Notes:
        """The notes as this player plays them; they end no later than before. ``seed`` decides what is drawn."""
        if self == AS_WRITTEN or not len(notes):
            return notes
        random = np.random.default_rng(seed & (2**64 - 1))
        is_top = _tops(notes)
        velocity = self._velocities(notes, is_top, random)
        shift = np.clip(random.normal(0.0, self.loose, len(notes)), -3 * self.loose, 3 * self.loose)
        onset = np.maximum(notes.onset + shift - self.lead * is_top, 0.0)
        return _playable(notes, onset, self.legato, velocity)

    def _velocities(self, notes: Notes, is_top: FloatArray, random: np.random.Generator) -> IntArray:
        mean = float(notes.velocity.mean())
        wave = random.standard_normal(math.ceil(notes.end / _CONTOUR_STEP) + 2)
        width = np.arange(-2.0, 2.0 + 1e-9, 4 * _CONTOUR_STEP / self.phrase)
        bell = np.exp(-2 * width**2)
        swell = np.convolve(wave, bell / np.sqrt(np.sum(bell**2)), "same")[: len(wave)]
        change = self.swell * np.interp(notes.onset, np.arange(len(swell)) * _CONTOUR_STEP, swell)
        change += self.melody * (is_top - is_top.mean()) + random.normal(0.0, self.uneven, len(notes))
        velocity = mean + self.loudness + self.contrast * (notes.velocity - mean) + change
        return np.clip(np.rint(velocity), _SOFTEST, 127).astype(np.int64)


AS_WRITTEN = Player()


def _tops(notes: Notes) -> FloatArray:
    """1 for notes above which nothing is struck at about the same time, else 0."""
    first = np.searchsorted(notes.onset, notes.onset - _CHORD_SECONDS)
    last = np.searchsorted(notes.onset, notes.onset + _CHORD_SECONDS, "right")
    highest = [notes.pitch[start:stop].max() for start, stop in zip(first.tolist(), last.tolist(), strict=True)]
    return (notes.pitch == np.array(highest)).astype(np.float64)


def _playable(notes: Notes, onset: FloatArray, legato: float, velocity: IntArray) -> Notes:
    """The notes at other onsets, but for keys that could not be struck so: these keep theirs."""
    offset = np.maximum(notes.onset + legato * notes.duration, notes.onset + np.minimum(notes.duration, 0.05))
    for key in np.unique(notes.pitch).tolist():
        places = np.flatnonzero(notes.pitch == key)
        released = np.concatenate([[0.0], offset[places[:-1]]])
        held = offset[places] - onset[places]
        if np.any(onset[places] < released) or np.any(held < np.minimum(_SHORTEST_SECONDS, notes.duration[places])):
            onset[places] = notes.onset[places]
    return Notes.of(onset, offset, notes.pitch, velocity)
