"""The rows of a file: its excerpts, each as it is and in changed copies, each with its prompts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.manifests.augmentation import Augmentation, Change
from jobs.manifests.catalogue import ListedFile
from jobs.manifests.item_ids import ItemIds
from jobs.manifests.measures import Part
from jobs.manifests.prompt_choice import PromptChoice
from jobs.run.options import RenderOptions
from jobs.seeded import generator
from schemas.midi_files import EXPECTED_DURATION

_EXCERPT: "list[pa.Field[Any]]" = [pa.field("start_s", pa.float64()), pa.field("end_s", pa.float64())]
_CHANGE: "list[pa.Field[Any]]" = [
    pa.field("transpose", pa.int64()),
    pa.field("velocity_scale", pa.float64()),
    pa.field("tempo_scale", pa.float64()),
]


@dataclass
class RowPlan:
    """Makes rows, as mappings of columns to values. ``prompts`` None is: each file has its own.

    ``copies_missing`` counts copies that there are not, because bounds left no other change.
    """

    ids: ItemIds
    prompts: PromptChoice | None
    augmentation: Augmentation | None
    copies: int
    excerpts: bool
    splits: bool
    seed: int
    copies_missing: int = 0
    _items: int = 0

    def schema(self) -> pa.Schema:
        """The columns of rows."""
        return pa.schema(
            [
                pa.field("item_id", pa.string()),
                pa.field("midi", pa.string()),
                pa.field("prompt", pa.string()),
                *(_EXCERPT if self.excerpts else []),
                *(_CHANGE if self.augmentation else []),
                *([pa.field("split", pa.string())] if self.splits else []),
                pa.field("piece", pa.string()),
                pa.field(EXPECTED_DURATION, pa.float64()),
            ]
        )

    def rows(self, file: ListedFile, parts: Sequence[Part]) -> Iterator[Mapping[str, Any]]:
        """All rows of a file, those of one part side by side."""
        for number, part in enumerate(parts, 1):
            base = f"{file.item_id}-e{number:03d}" if self.excerpts else file.item_id
            for copy, change in enumerate(self._changes(file, base, part)):
                item_id = f"{base}-c{copy}" if copy else base
                for place, prompt in enumerate(self._prompts(file, item_id), 1):
                    several = self.prompts is not None and self.prompts.each > 1
                    name = f"{item_id}-p{place}" if several else item_id
                    yield {
                        "item_id": name if name == file.item_id else self.ids.take(name),
                        "midi": file.midi,
                        "prompt": prompt,
                        "start_s": part.start,
                        "end_s": part.end,
                        **change._asdict(),
                        "split": file.split,
                        "piece": file.piece,
                        EXPECTED_DURATION: round(part.seconds / change.tempo_scale + RenderOptions.tail, 3),
                    }

    def _changes(self, file: ListedFile, base: str, part: Part) -> Iterator[Change]:
        yield Change()
        if self.augmentation is None or file.split not in (None, "train"):
            return
        random = generator(self.seed, "augment", base)
        changes = list(self.augmentation.changes(random, self.copies, part.lowest, part.highest))
        self.copies_missing += self.copies - len(changes)
        yield from changes

    def _prompts(self, file: ListedFile, item_id: str) -> Sequence[str | None]:
        self._items += 1
        return [file.prompt] if self.prompts is None else self.prompts.of(self._items - 1, item_id)
