"""Recordings with their MIDI, made in no time."""

from pathlib import Path

import numpy as np
import soundfile

from renderer.audio.audio_file import FloatSamples
from renderer.midi.midi_file import midi_bytes
from renderer.midi.notes import Notes
from tests.renderer.tones import improvisation, played

RATE = 22_050


def sound(seed: int, seconds: float = 24.0) -> tuple[FloatSamples, Notes]:
    notes = improvisation(seed, seconds)
    hiss = np.random.default_rng(seed).normal(0, 1e-3, round(seconds * RATE)).astype(np.float32)
    return played(notes, seconds, RATE) + hiss, notes


def write(path: Path, samples: FloatSamples, notes: Notes | None = None) -> Path:
    """A recording as a file and, beside it, its MIDI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT" if path.suffix == ".wav" else None)
    if notes is not None:
        path.with_suffix(".mid").write_bytes(midi_bytes(notes))
    return path
