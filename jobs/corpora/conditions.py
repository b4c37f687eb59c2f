"""Which conditions a corpus is recorded under, and which of them are held out of its training clips."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from renderer.pianos.setting import Setting, drawn_name
from renderer.pianos.studio import Condition
from schemas.splits import Split

FACTS = "condition_facts"
"""The column in which a corpus' tables say, as JSON, what the condition of a clip is."""

CLIPS_EACH: Mapping[Split, int] = {"train": 2, "validation": 6, "test": 6}
"""A condition has so many clips of a split at least, so that one can prompt another."""

TOGETHER = 16
"""So many conditions of training clips are recorded side by side, until each has all its clips."""


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
        """A condition for every clip, of which those of one piece are side by side.

        Training clips have conditions that are seen, some at a time, so that any part of a corpus, as far as it is
        finished, holds several pieces in each. Others have these and those held out, in turn.
        """
        seen, held = ([each[place] for place in random.permutation(len(each))] for each in (self.seen, self.held_out))
        hands: dict[Split, Iterator[str]] = {}
        for split in set(splits):
            clips = splits.count(split)
            names = _hand(split, clips, seen, held)
            hands[split] = _turns(names, clips, TOGETHER if split == "train" else len(names))
        return [next(hands[split]) for split in splits]


def _held(settings: Sequence[str], share: float, seed: int) -> AbstractSet[str]:
    """A share of the settings, drawn by the seed."""
    count = math.ceil(share * len(settings))
    order = np.random.default_rng((seed, len(settings))).permutation(len(settings))
    return {settings[place] for place in order[:count]}


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts of a condition as a corpus' tables hold them."""
    return json.dumps(facts, sort_keys=True)


def _hand(split: Split, clips: int, seen: list[str], held: list[str]) -> list[str]:
    """The conditions of a split's clips, one at least, and no more than get enough of them each."""
    size = max(1, clips // CLIPS_EACH[split])
    if split == "train" or not held:
        return seen[:size]
    pairs = max(1, min(size // 2, len(held), len(seen)))
    return [name for pair in zip(held[:pairs], seen[:pairs], strict=True) for name in pair]


def _turns(names: list[str], clips: int, together: int) -> Iterator[str]:
    """The names, so many at a time, in turn until they have had their share of the clips."""
    for start in range(0, len(names), together):
        part = names[start : start + together]
        share = clips * (start + len(part)) // len(names) - clips * start // len(names)
        yield from islice(cycle(part), share)
