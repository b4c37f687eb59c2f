"""Where a piano stands and how it is recorded: reflections, reverberation, tone, level and background noise.

Everything is synthetic, and follows from a name or from chance. The direct sound comes without delay, so that labels
stay exact.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import FloatArray
from renderer.pianos.fast_length import fast_length
from renderer.pianos.piano import SAMPLE_RATE

_BANDS = (0.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
_EQUALIZER = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
_LEVEL_BAND = (150.0, 2500.0)
"""Where most of a piano's sound lies: there, all rooms are equally loud."""

FULL_SCALE = 0.97

_DIRECTIVITY = 3.0
"""How much louder than all around piano and microphone are where they face each other."""

_USUAL_LEVEL = -28.0
"""Of music, in dBFS."""

_NEAREST = 0.25
_AIR_DECAY = 1.4
"""Seconds in which air alone takes 60 dB from 8 kHz."""


@dataclass(frozen=True)
class Room:
    """A room and a microphone.

    ``decay`` is the seconds in which reverberation falls by 60 dB at 1 kHz, ``bass_decay`` and ``treble_decay``
    how many times as long it takes at 125 Hz and at 8 kHz. ``direct`` is the level of the direct sound over the
    reverberation, ``bass`` and ``treble`` what the tone is raised by below 200 Hz and above 3 kHz, ``gain`` all of
    it, ``noise`` the background's level in dBFS: all in dB. ``reflections`` early ones come before ``spread`` s.

    ``equalizer`` raises octaves from 62.5 Hz to 16 kHz, in dB; below ``low_cut`` and above ``high_cut`` Hz (0: none)
    the microphone falls off by 12 dB an octave, and the background above 100 Hz by ``noise_slope`` dB an octave.
    ``volume`` (cubic metres) and ``distance`` (metres) are what a drawn room's other values follow from.
    """

    name: str
    decay: float
    bass_decay: float
    treble_decay: float
    direct: float
    spread: float
    reflections: int
    bass: float = 0.0
    treble: float = 0.0
    gain: float = 0.0
    noise: float = -75.0
    equalizer: tuple[float, ...] = ()
    low_cut: float = 0.0
    high_cut: float = 0.0
    noise_slope: float = 3.0
    volume: float = 0.0
    distance: float = 0.0

    @classmethod
    def named(cls, name: str) -> "Room":
        """``hall``, or a variant of it, like ``hall-3``: the same name is the same room. ValueError if unknown."""
        kind, dash, variant = name.partition("-")
        if kind not in ROOMS or (dash and not variant.isdecimal()):
            raise ValueError(f"room {name!r} is unknown; there are {', '.join(ROOMS)}, and variants like hall-3")
        room = ROOMS[kind]
        if not int(variant or 0):
            return replace(room, name=name)
        random = _random(name)
        return replace(
            room,
            name=name,
            decay=room.decay * random.uniform(0.7, 1.4),
            bass_decay=room.bass_decay * random.uniform(0.8, 1.25),
            treble_decay=room.treble_decay * random.uniform(0.7, 1.3),
            direct=room.direct + random.uniform(-2.5, 2.5),
            bass=random.uniform(-4.0, 4.0),
            treble=random.uniform(-6.0, 5.0),
            gain=random.uniform(-5.0, 1.0),
            noise=random.uniform(-80.0, -62.0),
        )

    @classmethod
    def drawn(cls, name: str, random: np.random.Generator) -> "Room":
        """Any room that pianos are recorded in, from a small one at home to a concert hall, by any microphone.

        How far the direct sound is over the reverberation follows from the distance, by the critical distance at
        which both are equal (Sabine), beyond which no microphone is put.
        """
        volume = math.exp(random.uniform(math.log(30.0), math.log(12_000.0)))
        usual = 0.42 * (volume / 60.0) ** 0.27  # What furniture and audiences leave of it.
        decay = float(np.clip(usual * math.exp(random.normal(0.0, 0.3)), 0.15, 3.2))
        critical = 0.057 * math.sqrt(_DIRECTIVITY * volume / decay)
        direct = random.uniform(0.0, min(16.0, 20 * math.log10(critical / _NEAREST)))
        gain = random.uniform(-8.0, 5.0)
        tilt = random.uniform(-1.0, 1.0)
        octaves = np.log2(np.array(_EQUALIZER) / 1000.0)
        gains = np.clip(tilt * octaves + random.normal(0.0, 1.5, len(octaves)), -6.0, 6.0)
        return cls(
            name=name,
            decay=decay,
            bass_decay=random.uniform(0.8, 1.5),
            treble_decay=1 / (1 / random.uniform(0.5, 0.95) + decay / _AIR_DECAY),
            direct=direct,
            spread=float(np.clip(math.sqrt(volume) / 1000, 0.01, 0.08)),
            reflections=int(random.integers(5, 15)),
            gain=gain,
            noise=_USUAL_LEVEL + gain - random.triangular(35.0, 52.0, 65.0),
            equalizer=tuple(gains.round(2).tolist()),
            low_cut=math.exp(random.uniform(math.log(15.0), math.log(100.0))),
            high_cut=math.exp(random.uniform(math.log(7_000.0), math.log(40_000.0))),
            noise_slope=random.uniform(1.5, 6.0),
            volume=volume,
            distance=critical * 10 ** (-direct / 20),
        )

    def record(self, dry: FloatSamples, seed: int) -> FloatSamples:
        """What the microphone hears of a piano, float32 (N,) as given; ``seed`` decides the background noise.

        What would go beyond full scale is softened as a whole.
        """
        size = fast_length(len(dry) + len(self.impulse_response))
        spectrum = np.fft.rfft(dry, size) * np.fft.rfft(self.impulse_response, size)
        random = np.random.default_rng(seed & (2**64 - 1))
        noise = random.standard_normal((2, len(spectrum)), np.float32) * _noise_amplitude(
            size, self.noise, self.noise_slope
        )
        spectrum.real += noise[0]
        spectrum.imag += noise[1]
        wet = np.fft.irfft(spectrum, size)[: len(dry)].astype(np.float32, copy=False)
        peak = float(np.abs(wet).max(initial=0.0))
        return wet * np.float32(FULL_SCALE / peak) if peak > FULL_SCALE else wet

    @cached_property
    def impulse_response(self) -> FloatSamples:
        """From the piano to the recording, float32 (M,) at 32 kHz; its first sample is the direct sound."""
        random = _random(f"{self.name}/impulse response")
        samples = round((self.decay * max(1.0, self.bass_decay) + 0.1) * SAMPLE_RATE)
        late = self._late(random, samples)
        late *= 10 ** (-self.direct / 20) / np.sqrt(np.sum(late**2))
        response = late + self._early(random, samples) * 10 ** (-self.direct / 20)
        response[0] = 1.0
        size = fast_length(2 * samples)
        spectrum = np.fft.rfft(response, size) * _minimum_phase(self._tone(size), size)
        frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
        heard = (frequency >= _LEVEL_BAND[0]) & (frequency <= _LEVEL_BAND[1])
        spectrum *= 10 ** (self.gain / 20) / np.sqrt(np.mean(np.abs(spectrum[heard]) ** 2))
        response = np.fft.irfft(spectrum, size)[:samples]
        fade = samples // 10
        response[-fade:] *= np.linspace(1, 0, fade)
        return response.astype(np.float32)

    def _late(self, random: np.random.Generator, samples: int) -> FloatArray:
        """Reverberation: noise that decays at its own pace in each octave, and sets in with the early reflections."""
        time = np.arange(samples) / SAMPLE_RATE
        noise = np.fft.rfft(random.standard_normal(samples))
        octave = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 1.0))
        centres = np.log2(np.maximum(_BANDS, 62.5))
        late = np.zeros(samples)
        for centre in centres:
            nearest = np.clip(1 - np.abs(np.clip(octave, centres[0], centres[-1]) - centre), 0, None)
            ratio = np.interp(centre, np.log2([125.0, 1000.0, 8000.0]), [self.bass_decay, 1.0, self.treble_decay])
            late += np.fft.irfft(noise * nearest, samples) * np.exp(-np.log(1000) * time / (self.decay * ratio))
        return late * np.minimum(time / self.spread, 1.0)

    def _early(self, random: np.random.Generator, samples: int) -> FloatArray:
        """Single reflections, the later the weaker."""
        early = np.zeros(samples)
        arrival = random.uniform(0.1, 1.0, self.reflections) * self.spread
        strength = random.choice([-1, 1], self.reflections) * 0.1 * self.spread / (arrival + 0.1 * self.spread)
        np.add.at(early, (arrival * SAMPLE_RATE).astype(np.int64), strength)
        return early

    def _tone(self, size: int) -> FloatArray:
        frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
        bass = self.bass / (1 + (frequency / 200.0) ** 2)
        treble = self.treble * (1 - 1 / (1 + (frequency / 3000.0) ** 2))
        decibels = bass + treble
        audible = np.maximum(frequency, _EQUALIZER[0] / 4)
        if self.equalizer:
            decibels += np.interp(np.log2(audible), np.log2(_EQUALIZER), self.equalizer)
        if self.low_cut:
            decibels -= 10 * np.log10(1 + (self.low_cut / audible) ** 4)
        if self.high_cut:
            decibels -= 10 * np.log10(1 + (audible / self.high_cut) ** 4)
        return np.asarray(10 ** (decibels / 20))


ROOMS = {
    room.name: room
    for room in (
        Room("close", decay=0.25, bass_decay=1.2, treble_decay=0.6, direct=15.0, spread=0.015, reflections=4),
        Room("chamber", decay=0.8, bass_decay=1.3, treble_decay=0.6, direct=6.0, spread=0.03, reflections=8),
        Room("hall", decay=1.9, bass_decay=1.3, treble_decay=0.5, direct=3.0, spread=0.06, reflections=12),
    )
}


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


def _minimum_phase(magnitude: FloatArray, size: int) -> "np.ndarray[tuple[int], np.dtype[np.complex128]]":
    """The spectrum with this magnitude that comes without delay or pre-echo (by its cepstrum)."""
    cepstrum = np.fft.irfft(np.log(magnitude), size)
    half = size // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum))


@lru_cache(8)
def _noise_amplitude(size: int, decibels: float, slope: float) -> FloatSamples:
    """Of background noise at this level, whose power falls by so many dB an octave above 100 Hz: by frequency."""
    colour = 1 / (1 + np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / 100.0) ** (slope / 6)
    power = size * 10 ** (decibels / 10) * colour**2 / np.mean(colour**2)
    return np.sqrt(power / 2).astype(np.float32)
