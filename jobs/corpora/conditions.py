"""Which conditions a corpus is recorded under, and which of them are held out of its training clips."""

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from renderer.pianos.setting import Setting, drawn_name
from renderer.pianos.studio import Condition
from schemas.splits import Split

FACTS = "condition_facts"
"""The column in which a corpus' tables say, as JSON, what the condition of a clip is."""

CLIPS_EACH = 2
"""A condition has so many clips at least, so that one can prompt another."""


@dataclass(frozen=True)
class Conditions:
    """The ids of conditions: of training clips, and of clips of the other splits alone."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    @classmethod
    def named(
        cls, pianos: Sequence[str], rooms: Sequence[str], held_pianos: AbstractSet[str], share: float, seed: int
    ) -> "Conditions":
        """Every piano in every room; of the rooms a share is held out."""
        held_rooms = _held(rooms, share, seed)
        every = [Condition(piano, room) for piano in pianos for room in rooms]
        held = [each.id for each in every if each.piano in held_pianos or each.setting in held_rooms]
        return cls(tuple(each.id for each in every if each.id not in held), tuple(held))

    @classmethod
    def drawn(
        cls, pianos: Sequence[str], count: int, held_pianos: AbstractSet[str], share: float, seed: int
    ) -> "Conditions":
        """So many settings, each with one piano; a share is held out, and held-out pianos are in these alone."""
        settings = [drawn_name(seed, index) for index in range(count)]
        held_settings = _held(settings, share, seed)
        seen = cycle([piano for piano in pianos if piano not in held_pianos] or [None])
        every = cycle(sorted(pianos, key=lambda piano: piano not in held_pianos))
        pairs = [(next(every if name in held_settings else seen), name) for name in settings]
        return cls(
            tuple(Condition(piano, name).id for piano, name in pairs if piano and name not in held_settings),
            tuple(Condition(piano, name).id for piano, name in pairs if piano and name in held_settings),
        )

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.seen + self.held_out

    def facts(self) -> dict[str, dict[str, Any]]:
        """By id all that is known of each: the piano's name, whether it is held out, and its setting's parameters."""
        held = set(self.held_out)
        return {
            name: {"piano": condition.piano, "held_out": name in held, **Setting.named(condition.setting).facts()}
            for name, condition in ((name, Condition.from_id(name)) for name in self.all)
        }

    def dealt(self, splits: Sequence[Split], random: np.random.Generator) -> list[str]:
        """A condition for every clip, in turn. There are no more than get two clips each in every split.

        Training clips have conditions that are seen. Others alternate between these and those held out.
        """
        seen, held = (
            [names[place] for place in random.permutation(len(names))] for names in (self.seen, self.held_out)
        )
        hands: Mapping[Split, Any] = {
            split: cycle(_hand(split, splits.count(split) // CLIPS_EACH, seen, held)) for split in set(splits)
        }
        return [next(hands[split]) for split in splits]


def _held(settings: Sequence[str], share: float, seed: int) -> AbstractSet[str]:
    """A share of the settings, drawn by the seed."""
    count = math.ceil(share * len(settings))
    order = np.random.default_rng((seed, len(settings))).permutation(len(settings))
    return {settings[place] for place in order[:count]}


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts of a condition as a corpus' tables hold them."""
    return json.dumps(facts, sort_keys=True)


def _hand(split: Split, size: int, seen: list[str], held: list[str]) -> list[str]:
    """The conditions, at most ``size`` but one at least, that a split's clips are dealt."""
    if split == "train" or not held:
        return seen[: max(1, size)]
    pairs = max(1, min(size // 2, len(held)))
    known = (seen * -(-pairs // len(seen)))[:pairs] if seen else []
    return [name for pair in zip(held[:pairs], known, strict=True) for name in pair] if seen else held[:pairs]
