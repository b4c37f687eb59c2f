"""What an export will hold, counted before anything is written."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from jobs.exports.chosen import ALL, UNASSIGNED, Chosen, ChosenShard
from jobs.exports.licences import LICENCE_COLUMNS, Licences

MEASURES = ("notes_found", "attacks_explained", "codes_match", "quality_score", "rms_dbfs")
"""Measures of which a card tells the spread."""

_COLUMNS = ("item_id", "status", "split", "duration_s", "note_count", "verdict", "faults", *MEASURES, *LICENCE_COLUMNS)


@dataclass
class SplitCount:
    """How much there is of a split."""

    items: int = 0
    seconds: float = 0.0
    notes: int = 0


@dataclass(eq=False)
class Survey:
    """The items of an export by split, with their verdicts and measures; and what is left out.

    ``shards`` counts those that are finished, ``sha256`` is of their result rows.
    """

    splits: dict[str, SplitCount] = field(default_factory=dict)
    shards: int = 0
    sha256: str = ""
    failed: int = 0
    not_chosen: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    measures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})

    @classmethod
    def of(cls, chosen: Chosen, licences: Licences) -> "Survey":
        """Read the rows of all shards, without their notes; where no row has a split, all are ``train``."""
        survey = cls()
        digest = hashlib.sha256()
        for shard in chosen.shards(_COLUMNS):
            licences.add(shard.rows)
            survey._add(shard)
            digest.update(shard.marker.metadata.sha256.encode())
        survey.sha256 = digest.hexdigest()
        if survey.splits.keys() == {UNASSIGNED}:
            survey.splits[ALL] = survey.splits.pop(UNASSIGNED)
            chosen.without_split = ALL
        return survey

    @property
    def total(self) -> SplitCount:
        """All splits together."""
        counts = self.splits.values()
        return SplitCount(*(sum(getattr(count, name) for count in counts) for name in ("items", "seconds", "notes")))

    @property
    def order(self) -> list[str]:
        """The names of the splits, the usual ones first."""
        usual = ["train", "validation", "test"]
        return sorted(self.splits, key=lambda name: (usual.index(name) if name in usual else len(usual), name))

    def _add(self, shard: ChosenShard) -> None:
        rows, marker = shard.rows, shard.marker
        self.shards += 1
        self.failed += marker.failed
        self.not_chosen += marker.items - marker.failed - len(rows)
        for split in dict.fromkeys(shard.splits):
            of_split = shard.of_split(split)
            count = self.splits.setdefault(split, SplitCount())
            count.items += len(of_split)
            count.seconds += _sum(of_split, "duration_s")
            count.notes += int(_sum(of_split, "note_count"))
        if "verdict" in rows.column_names:
            self.verdicts.update(verdict for verdict in rows["verdict"].to_pylist() if verdict)
            self.faults.update(fault for faults in rows["faults"].to_pylist() for fault in faults or ())
        for name, values in self.measures.items():
            if name in rows.column_names:
                values += [value for value in rows[name].to_pylist() if value is not None]


def _sum(table: pa.Table, name: str) -> float:
    return float(pc.sum(table[name]).as_py() or 0)
