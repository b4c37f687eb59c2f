"""The noises of a piano's action: hammers and keys that strike, dampers that fall."""

from functools import lru_cache

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import Notes
from renderer.pianos.piano import REFERENCE_LEVEL, REFERENCE_VELOCITY, SAMPLE_RATE
from renderer.pianos.voicing import Voicing

_SECONDS = 0.15
_SOUNDS = 8
"""So many different knocks a piano has, which its keys take turns at."""

_THUMP, _CLICK = (60.0, 350.0, 0.030), (700.0, 3000.0, 0.006)
"""Each from and up to a frequency, and with a time constant in seconds."""


def add_action_noise(audio: FloatSamples, notes: Notes, voicing: Voicing) -> None:
    """Add to dry audio (N,) what the action of each note is heard by, from its onset and its offset on."""
    for level, times, velocities in (
        (voicing.knock, notes.onset, notes.velocity),
        (voicing.dampers, notes.offset, np.full(len(notes), REFERENCE_VELOCITY)),
    ):
        if level is None:
            continue
        sounds = _sounds(voicing.seed, voicing.wood)
        gain = REFERENCE_LEVEL * 10 ** (level / 20) * (velocities / REFERENCE_VELOCITY) ** 1.5
        starts = np.rint(times * SAMPLE_RATE).astype(np.int64)
        for start, pitch, strength in zip(starts.tolist(), notes.pitch.tolist(), gain.tolist(), strict=True):
            if 0 <= start < len(audio):
                sound = sounds[pitch % _SOUNDS, : len(audio) - start]
                audio[start : start + len(sound)] += sound * np.float32(strength)


@lru_cache(256)
def _sounds(seed: int, wood: float) -> FloatSamples:
    """Noises (8, N), whose power over their first 20 ms is 1: thumps of the keybed and clicks of the hammer."""
    random = np.random.default_rng((seed, 1))
    samples = round(_SECONDS * SAMPLE_RATE)
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    time = np.arange(samples) / SAMPLE_RATE
    mix = np.zeros((_SOUNDS, samples))
    for share, (lowest, highest, constant) in ((wood, _THUMP), (1 - wood, _CLICK)):
        # Within the band flat, below it falling by 12 dB an octave, above it by 24.
        band = 1 / (1 + (lowest / np.maximum(frequency, 1.0)) ** 2) / (1 + (frequency / highest) ** 2) ** 2
        noise = np.fft.irfft(np.fft.rfft(random.standard_normal((_SOUNDS, samples))) * band, samples)
        sound = noise * np.exp(-time / constant) * np.minimum(time / 5e-4, 1.0)
        mix += np.sqrt(share) * sound / np.sqrt(np.mean(sound[:, : SAMPLE_RATE // 50] ** 2, axis=1, keepdims=True))
    return mix.astype(np.float32)
