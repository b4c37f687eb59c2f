"""The items of a run that are exported: their rows, shard by shard, and their audio."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import JobError
from jobs.output.audio_reader import AudioReader
from jobs.run_directory.run_directory import RunDirectory
from schemas.item_ids import file_stem, why_unsafe_path
from schemas.marker import Marker
from schemas.run import Run

ALL, UNASSIGNED = "train", "unassigned"
"""The split of a run without splits, and of rows without one where others have one."""

_SPLIT_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)


@dataclass(frozen=True, eq=False)
class ChosenShard:
    """The rows of one finished shard that are exported, in the manifest's order, and the split of each."""

    marker: Marker
    rows: pa.Table
    splits: Sequence[str]

    @property
    def is_whole(self) -> bool:
        """Whether no rendered item is left out."""
        return len(self.rows) == self.marker.items - self.marker.failed

    def of_split(self, split: str) -> pa.Table:
        """The rows of one split."""
        return self.rows.filter(pa.array([each == split for each in self.splits], pa.bool_()))


class Chosen:
    """What is chosen of a run. ``without_split`` is the split of rows that have none."""

    def __init__(self, directory: RunDirectory, run: Run, only_good: bool) -> None:
        self.directory, self.run = directory, run
        self.without_split = UNASSIGNED
        self._only_good = only_good

    def shards(self, columns: Sequence[str] | None = None) -> Iterator[ChosenShard]:
        """Every finished shard, with those of the ``columns`` that there are."""
        for marker in self.directory.markers():
            table = self.directory.result_rows(marker, columns)
            rows = table.filter(self._is_chosen(table))
            yield ChosenShard(marker, rows, self._splits(rows))

    def audio(self) -> AudioReader:
        """Reads the audio of their rows; to be closed."""
        return AudioReader(self.directory.storage, self.run.settings.layout)

    def _is_chosen(self, table: pa.Table) -> pa.BooleanArray:
        chosen = pc.equal(table["status"], pa.scalar("ok"))
        if not self._only_good:
            return chosen
        if "verdict" not in table.column_names:
            raise JobError("--only good: this run is of an older version, which judged no item")
        return pc.and_(chosen, pc.equal(table["verdict"], pa.scalar("good")))

    def _splits(self, rows: pa.Table) -> list[str]:
        if "split" not in rows.column_names:
            return [self.without_split] * len(rows)
        splits = [str(split) if split else self.without_split for split in rows["split"].to_pylist()]
        for split in set(splits):
            if not _SPLIT_NAME.fullmatch(split):
                raise JobError(f"split {split!r} cannot name files of a data set: letters, digits, _ and . can")
        return splits


def stem_of(run: Run) -> Callable[[str], str]:
    """How an item's files are called, without their ends; JobError for an id that leads out of a folder."""

    def stem(item_id: str) -> str:
        if reason := why_unsafe_path(item_id):
            raise JobError(f"item id {item_id!r} cannot be a file name: {reason}")
        return file_stem(item_id, run.settings.id_separator)

    return stem
