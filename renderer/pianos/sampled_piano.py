"""A piano that is played from recordings of its keys, in layers of velocity."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY, FloatArray, IntArray, Notes
from renderer.pianos.bank import Bank
from renderer.pianos.fast_length import fast_length
from renderer.pianos.piano import REFERENCE_VELOCITY, SAMPLE_RATE, reference_gain
from renderer.pianos.tuned_sounds import TunedSounds
from renderer.pianos.voicing import AS_RECORDED, Voicing

FIRST_UNDAMPED_KEY = 90
"""The top keys of a grand have no dampers."""

_DAMPING_SECONDS = {LOWEST_KEY: 0.12, FIRST_UNDAMPED_KEY: 0.06}
_UNDAMPED_SECONDS = 1.0
_TREBLE_HZ = 2000.0
_RELEASE_CONSTANTS = 9.0
"""In a release's seconds a tone falls by 80 dB, as SFZ players have it."""

_LEAST_RISE_DB = 3.0
"""Layers whose loudness rises by less were brought to one level."""

_TIME_CONSTANTS = 7.0
"""So many time constants after its key was released, a tone is inaudible."""


class SampledPiano:
    """Plays a bank. Between the layers' centres, loudness follows a smooth curve through all of them."""

    def __init__(self, bank: Bank) -> None:
        bank = _with_dynamics(bank)
        self._bank = bank
        struck = np.flatnonzero(bank.is_release == 0)
        self._layers = {key: struck[bank.key[struck] == key] for key in range(LOWEST_KEY, HIGHEST_KEY + 1)}
        if missing := [key for key, layers in self._layers.items() if not len(layers)]:
            raise ValueError(f"the piano has no recording for MIDI keys {missing}")
        self._releases = {int(bank.key[sound]): int(sound) for sound in np.flatnonzero(bank.is_release)}
        self._centre = (bank.softest + bank.loudest) / 2
        self._curve = _loudness_curve(bank, struck)
        self._gain = 1.0
        self._gain = reference_gain(self.play)

    def play(self, notes: Notes, samples: int, voicing: Voicing = AS_RECORDED) -> FloatSamples:
        """The notes, and the recorded noises of their keys and dampers, as float32 (samples,)."""
        mix = np.zeros(samples, np.float32)
        raised = np.zeros(samples, np.float32) if voicing.brightening else None
        sounds = TunedSounds(self._bank, voicing.cents())
        for onset, offset, pitch, velocity in zip(
            notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), notes.velocity.tolist(), strict=True
        ):
            start = round(onset * SAMPLE_RATE)
            tone = self._tone(pitch, velocity, offset - onset, voicing, sounds)
            _add(mix, tone, start)
            if raised is not None:
                _add(raised, tone * np.float32(voicing.treble_gain(velocity) - 1), start)
            if pitch < FIRST_UNDAMPED_KEY and pitch in self._releases:
                sound = self._releases[pitch]
                strength = self._gain * (0.3 + 0.7 * velocity / 127)
                _add(mix, sounds.get(sound, samples, strength), round(offset * SAMPLE_RATE))
        return mix if raised is None else mix + _treble(raised)

    def _tone(self, pitch: int, velocity: int, duration: float, voicing: Voicing, sounds: TunedSounds) -> FloatSamples:
        """One note from its attack until it is inaudible."""
        layers = self._layers[pitch]
        nearest = self._distance(layers, min(max(velocity + voicing.hardness, 1.0), 127.0)).argmin()
        sound = int(layers[nearest])
        wanted = (1 - voicing.dynamics) * self._loudness(REFERENCE_VELOCITY)
        decibels = wanted + voicing.dynamics * self._loudness(velocity) - self._loudness(self._centre[sound])
        release = float(self._bank.release[sound])
        constant = _damping_seconds(pitch) if np.isnan(release) else max(release / _RELEASE_CONSTANTS, 1e-3)
        constant *= voicing.damping
        samples = int((duration + _TIME_CONSTANTS * constant) * SAMPLE_RATE)
        tone = sounds.get(sound, samples, self._gain * 10 ** (decibels / 20))
        held = int(duration * SAMPLE_RATE)
        if held < len(tone):
            tone[held:] *= np.exp(np.arange(len(tone) - held, dtype=np.float32) / np.float32(-constant * SAMPLE_RATE))
        return tone

    def _distance(self, sounds: IntArray, velocity: float) -> FloatArray:
        """How far a velocity is outside what each sound is for."""
        return np.maximum(self._bank.softest[sounds] - velocity, 0.0) + np.maximum(
            velocity - self._bank.loudest[sounds], 0.0
        )

    def _loudness(self, velocity: float) -> float:
        return self._curve(velocity)


def _loudness_curve(bank: Bank, struck: IntArray) -> Callable[[float], float]:
    """Loudness in dB by velocity: as the bank says, else by a smooth curve through what its recordings have."""
    softest, loudest, loudness = bank.softest[struck], bank.loudest[struck], bank.loudness[struck]
    centre = (softest + loudest) / 2
    if not np.isnan(bank.dynamics[struck]).any():
        velocities = np.linspace(softest, loudest, bank.dynamics.shape[1], axis=1).ravel()
        levels = (loudness[:, None] + bank.dynamics[struck]).ravel()
        places, member = np.unique(velocities, return_inverse=True)
        mean = np.bincount(member, levels) / np.bincount(member)
        return lambda velocity: float(np.interp(velocity, places, mean))
    layers = np.unique(centre)
    if len(layers) == 1:  # One layer says nothing of velocity: about what an average piano does.
        return _polynomial(np.array([0.0, 50.0, -20.0]))
    fit = np.polynomial.polynomial.polyfit(centre / 127, loudness, min(3, len(layers) - 1))
    return _polynomial(np.asarray(fit, np.float64))


def _with_dynamics(bank: Bank) -> Bank:
    """The bank; where several layers were recorded at one level and nothing is said of it, with SFZ's dynamics.

    These are the velocity's square.
    """
    struck = bank.is_release == 0
    centre = (bank.softest + bank.loudest) / 2
    layers = np.unique(centre[struck])
    softest, loudest = (bank.loudness[struck & (centre == layer)].mean() for layer in (layers[0], layers[-1]))
    if len(layers) == 1 or loudest - softest >= _LEAST_RISE_DB or not np.isnan(bank.dynamics[struck]).all():
        return bank
    at_centre = np.where(struck, 40 * np.log10(np.maximum(centre, 1) / 127), 0.0)
    velocities = np.linspace(np.maximum(bank.softest, 1), bank.loudest, bank.dynamics.shape[1], axis=1)
    return replace(
        bank,
        scale=bank.scale * 10 ** (at_centre / 20),
        loudness=bank.loudness + at_centre,
        dynamics=40 * np.log10(velocities / 127) - at_centre[:, None],
    )


def _polynomial(coefficients: FloatArray) -> Callable[[float], float]:
    return lambda velocity: float(np.polynomial.polynomial.polyval(velocity / 127, coefficients))


def _damping_seconds(pitch: int) -> float:
    if pitch >= FIRST_UNDAMPED_KEY:
        return _UNDAMPED_SECONDS
    return float(np.interp(pitch, list(_DAMPING_SECONDS), list(_DAMPING_SECONDS.values())))


def _treble(audio: FloatSamples) -> FloatSamples:
    """What of it lies above 2 kHz, by a filter of first order."""
    size = fast_length(len(audio))
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    share = 1 / (1 + _TREBLE_HZ / (1j * np.maximum(frequency, 1e-3)))
    return np.fft.irfft(np.fft.rfft(audio, size) * share, size)[: len(audio)].astype(np.float32)


def _add(mix: FloatSamples, sound: FloatSamples, start: int) -> None:
    """Add a sound to the mix, as far as it lies within it."""
    if 0 <= start < len(mix):
        sound = sound[: len(mix) - start]
        mix[start : start + len(sound)] += sound
