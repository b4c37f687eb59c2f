"""How a piano is tuned, voiced and regulated: what makes one instrument unlike another of its make."""

from dataclasses import dataclass

import numpy as np

from renderer.midi.notes import FloatArray

MIDDLE_KEY = 60
_KEYS_TO_THE_TOP = 48
_MIDI_KEYS = 128
MIDDLE_VELOCITY = 64


@dataclass(frozen=True)
class Voicing:
    """What differs from the piano as it was recorded; by default nothing.

    Tuning, in cents: ``pitch`` is that of the whole piano, ``stretch`` what the top key is raised by beyond it (and
    the bass lowered, by the cube of the distance to middle C), ``spread`` the standard deviation over the keys.

    Hammers: ``hardness`` is how many velocities a note takes its sound from above its own, at its own loudness;
    ``brightening`` how many dB treble is raised by at velocity 127, and lowered by at 1, beyond the recordings'.
    ``dynamics`` is how many times as many dB lie between soft and loud.

    Action: ``damping`` is how many times as long dampers take, ``knock`` and ``dampers`` the levels of the noises of
    struck and released keys in dB of a note's (None: no noise), ``wood`` how much of them is a thump, not a click.

    ``seed`` decides what is drawn for each key.
    """

    pitch: float = 0.0
    stretch: float = 0.0
    spread: float = 0.0
    hardness: float = 0.0
    brightening: float = 0.0
    dynamics: float = 1.0
    damping: float = 1.0
    knock: float | None = None
    dampers: float | None = None
    wood: float = 0.5
    seed: int = 0

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Voicing":
        """Any piano in use: most are nearly in tune, some are not."""
        return cls(
            pitch=float(np.clip(random.normal(0, 8), -25, 25)),
            stretch=random.uniform(-8, 12),
            spread=float(min(random.exponential(1.5), 7)),
            hardness=random.uniform(-25, 25),
            brightening=random.uniform(-2, 6),
            dynamics=random.uniform(0.85, 1.15),
            damping=float(np.exp(np.clip(random.normal(0, 0.35), -0.8, 0.8))),
            knock=random.uniform(-36, -12),
            dampers=random.uniform(-46, -24),
            wood=random.uniform(0.1, 0.9),
            seed=int(random.integers(2**32)),
        )

    def cents(self) -> FloatArray:
        """How far each MIDI key (128,) is from its recording."""
        keys = np.arange(_MIDI_KEYS)
        stretched = self.stretch * ((keys - MIDDLE_KEY) / _KEYS_TO_THE_TOP) ** 3
        deviation = np.random.default_rng(self.seed).standard_normal(_MIDI_KEYS)
        return self.pitch + stretched + self.spread * np.clip(deviation, -2.5, 2.5)

    def treble_gain(self, velocity: int) -> float:
        """The factor by which a note's treble is raised."""
        decibels = self.brightening * (velocity - MIDDLE_VELOCITY) / (127 - MIDDLE_VELOCITY)
        return float(10 ** (decibels / 20))


AS_RECORDED = Voicing()
