"""Notes as tones that decay: real enough to be heard by a detector, and made in no time."""

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes


def played(notes: Notes, seconds: float, sample_rate: int = 32000) -> FloatSamples:
    """Every note as six partials that decay, struck with a little noise; float32 (round(seconds * rate),)."""
    mix = np.zeros(round(seconds * sample_rate))
    for onset, offset, pitch, velocity in zip(notes.onset, notes.offset, notes.pitch, notes.velocity, strict=True):
        first = round(onset * sample_rate)
        time = np.arange(min(len(mix), round((offset + 0.1) * sample_rate)) - first) / sample_rate
        level = 0.15 * (velocity / 127) ** 2
        damped = np.exp(-np.maximum(time - (offset - onset), 0) / 0.02)
        for partial in range(1, 7):
            hertz = 440 * 2 ** ((pitch - 69) / 12) * partial
            if hertz < sample_rate / 2:
                tone = np.sin(2 * np.pi * hertz * time + partial) * np.exp(-time * (1 + 0.5 * partial)) / partial
                mix[first : first + len(time)] += level * damped * tone
        knock = np.random.default_rng(int(pitch)).normal(0, 0.1 * level, len(time)) * np.exp(-time / 0.005)
        mix[first : first + len(time)] += knock
    return mix.astype(np.float32)


def melody(seed: int, seconds: float, pace: float = 4.0) -> Notes:
    """Random notes, about ``pace`` a second, all over before the end."""
    random = np.random.default_rng(seed)
    steps = np.arange(0.1, seconds - 0.5, 1 / pace)
    onset = steps + random.uniform(0, 0.5 / pace, len(steps))
    pitch = 48 + (random.integers(0, 5) + 7 * np.arange(len(onset))) % 36
    offset = np.minimum(onset + random.uniform(0.2, 0.8, len(onset)), seconds)
    return Notes.of(onset, offset, pitch, random.integers(50, 110, len(onset)))


def improvisation(seed: int, seconds: float) -> Notes:
    """Notes at random moments on random keys, about four a second: one part of it is like no other."""
    random = np.random.default_rng(seed)
    onset = np.sort(random.uniform(0.1, seconds - 0.5, round(4 * seconds)))
    onset = onset[np.diff(onset, prepend=-1.0) > 0.03]
    offset = np.minimum(onset + random.uniform(0.15, 0.6, len(onset)), seconds)
    return Notes.of(onset, offset, random.integers(40, 88, len(onset)), random.integers(50, 110, len(onset)))
