"""Which prompts an item is rendered with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.seeded import generator

PromptOrder = Literal["round-robin", "random"]


@dataclass(frozen=True)
class PromptChoice:
    """Gives out prompts ``ids``: in turn, or drawn by a seed; ``each`` so many, all different, for every item."""

    ids: Sequence[str]
    order: PromptOrder
    each: int
    seed: int

    def of(self, number: int, item_id: str) -> list[str]:
        """The prompts of an item, the ``number``-th one; what is drawn follows from its id alone."""
        if self.order == "random":
            places = generator(self.seed, "prompt", item_id).permutation(len(self.ids))[: self.each]
            return [self.ids[place] for place in places]
        return [self.ids[(number * self.each + place) % len(self.ids)] for place in range(self.each)]
