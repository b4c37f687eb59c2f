"""Performances changed by chance: transposed, faster or slower, louder or softer, within bounds."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from jobs.errors import JobError

if TYPE_CHECKING:
    import numpy as np

LOWEST_FACTOR, HIGHEST_FACTOR = 0.25, 4.0
MOST_SEMITONES = 24
_DRAWS = 100
"""So often another change is looked for, where one was drawn before."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_PART = re.compile(rf"(\w+)=({_NUMBER})(?:\.\.({_NUMBER}))?")


class Change(NamedTuple):
    """How a performance is changed: semitones, and factors of its velocities and its tempo."""

    transpose: int = 0
    velocity_scale: float = 1.0
    tempo_scale: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """The bounds of changes, both included: ``transpose`` in semitones, ``velocity`` and ``tempo`` as factors."""

    transpose: tuple[int, int] = (0, 0)
    velocity: tuple[float, float] = (1.0, 1.0)
    tempo: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def parsed(cls, texts: Sequence[str]) -> "Augmentation":
        """From ``transpose=-2..2``, ``tempo=.95..1.05`` and ``velocity=.8..1.2``; JobError for anything else."""
        bounds: dict[str, tuple[float, float]] = {}
        for part in re.split(r"[\s,]+", " ".join(texts).strip()):
            name, low, high = _parsed(part)
            if name in bounds:
                raise JobError(f"--augment gives {name} twice; give it once, as {name}={low:g}..{high:g}")
            bounds[name] = (low, high)
        low, high = bounds.get("transpose", (0.0, 0.0))
        unchanged = (1.0, 1.0)
        return cls((int(low), int(high)), bounds.get("velocity", unchanged), bounds.get("tempo", unchanged))

    def changes(self, random: "np.random.Generator", copies: int, lowest: int, highest: int) -> Iterator[Change]:
        """So many changes, each another one; fewer if these bounds have no more.

        ``lowest`` and ``highest`` are the keys that are played: no change leads off the keyboard.
        """
        from renderer.midi.notes import HIGHEST_KEY, LOWEST_KEY

        down, up = (min(max(s, LOWEST_KEY - lowest), HIGHEST_KEY - highest) for s in self.transpose)
        seen = {Change()}
        for _ in range(copies):
            for _ in range(_DRAWS):
                factors = (_factor(random, bounds) for bounds in (self.velocity, self.tempo))
                change = Change(int(random.integers(down, up + 1)), *factors)
                if change not in seen:
                    seen.add(change)
                    yield change
                    break


def _factor(random: "np.random.Generator", bounds: tuple[float, float]) -> float:
    low, high = map(math.log, bounds)
    return round(math.exp(random.uniform(low, high)), 4)


def _parsed(text: str) -> tuple[str, float, float]:
    """A name and its bounds; JobError if they cannot be ones."""
    names = [field.name for field in fields(Augmentation)]
    found = _PART.fullmatch(text)
    if found is None or found[1] not in names:
        raise JobError(
            f"--augment {text!r} is not understood: give NAME=LOWEST..HIGHEST, with a name of {', '.join(names)}, "
            "as --augment transpose=-2..2 --augment tempo=.95..1.05"
        )
    low = float(found[2])
    high = float(found[3] or found[2])
    if low > high:
        raise JobError(f"--augment {text}: the lowest bound is above the highest; write {found[1]}={high:g}..{low:g}")
    if found[1] != "transpose":
        if not LOWEST_FACTOR <= low <= high <= HIGHEST_FACTOR:
            raise JobError(f"--augment {text}: factors must be {LOWEST_FACTOR:g} to {HIGHEST_FACTOR:g}; 1 is no change")
    elif low % 1 or high % 1 or max(-low, high) > MOST_SEMITONES:
        raise JobError(f"--augment {text}: give whole semitones, -{MOST_SEMITONES} to {MOST_SEMITONES}")
    return found[1], low, high
