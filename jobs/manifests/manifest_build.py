"""A manifest on its way: all files are read, splits are drawn, rows are written."""

import os
import pickle
from collections.abc import Sequence
from typing import IO, Any

from jobs.console import say
from jobs.errors import JobError
from jobs.manifests.build_options import BuildOptions
from jobs.manifests.build_output import BuildWriter
from jobs.manifests.build_summary import BuildSummary
from jobs.manifests.catalogue import Catalogue, ListedFile
from jobs.manifests.measures import Measures, Part
from jobs.manifests.pieces import Pieces
from jobs.manifests.prompt_choice import PromptChoice
from jobs.manifests.row_plan import RowPlan
from jobs.manifests.splits import draw_splits
from jobs.manifests.survey import Surveyor
from schemas.midi_files import EXPECTED_DURATION


class ManifestBuild:
    """Call :meth:`read`, :meth:`decide_splits` and :meth:`write`, in this order; ``summary`` counts on the way.

    What was read waits in a spool, as it may be more than memory holds: no row can be written before all is read.
    ``prompts`` None is: each file has its own.
    """

    def __init__(self, options: BuildOptions, catalogue: Catalogue, prompts: PromptChoice | None) -> None:
        self.summary = BuildSummary()
        self.plan = RowPlan(
            catalogue.ids,
            prompts,
            options.augmentation,
            options.changed_copies,
            excerpts=options.excerpt is not None,
            splits=catalogue.has_splits or options.shares is not None,
            seed=options.seed,
        )
        self._options, self._files = options, catalogue.files
        self._pieces = Pieces()
        self._seconds: list[float] = []
        self._splits: Sequence[str | None] = [file.split for file in catalogue.files]

    def read(self, surveyor: Surveyor, spool: IO[bytes]) -> None:
        """Read all files; JobError if none can be rendered, or one that can be has no prompt."""
        processes = self._options.processes or os.cpu_count() or 1
        found = surveyor.survey([file.location for file in self._files], processes)
        for file, measures in zip(self._files, found, strict=True):
            pickle.dump(measures, spool)
            self.summary.add_file(file.midi, measures)
            if isinstance(measures, str):
                self._pieces.add(file.piece, None)
                self._seconds.append(0.0)
                continue
            self._pieces.add(file.piece, measures.likeness)
            self._seconds.append(measures.duration_s)
            if self.plan.prompts is None and file.prompt is None:
                raise JobError(f"--prompt-column {self._options.prompt_column}: {file.midi} has no prompt there")
        if not self.summary.seconds:
            raise JobError(f"none of {len(self._files):,} MIDI files can be rendered: {self.summary.first_reason}")

    def decide_splits(self) -> None:
        """Draw them, or tell where those of tables part what belongs together."""
        groups = self._pieces.groups()
        if self._options.shares is not None:
            names = [file.piece for file in self._files]
            self._splits = draw_splits(groups, names, self._seconds, self._options.shares, self._options.seed)
        elif parted := [group for group in groups if len({self._splits[number] for number in group} - {None}) > 1]:
            first = self._files[parted[0][0]]
            say(
                f"warning: {len(parted):,} piece(s) are in several splits, as the table says; the first is "
                f"{first.piece!r} with {first.midi} (--split 0.8,0.1,0.1 would keep them together)"
            )

    def write(self, spool: IO[bytes], writer: BuildWriter) -> None:
        """Write the rows of all files, and what is known of each."""
        spool.seek(0)
        for number, listed in enumerate(self._files):
            file = listed._replace(split=self._splits[number])
            found: Measures | str = pickle.load(spool)
            earlier = self._pieces.duplicate_of[number]
            self.summary.duplicates += earlier is not None
            rows = 0
            if isinstance(found, Measures) and not (self._options.drop_duplicates and earlier is not None):
                rows = self._write_rows(number, file, found.parts, writer)
            other = None if earlier is None else self._files[earlier].midi
            writer.add_file({**_known(file, found), "rows": rows, "duplicate_of": other})
        self.summary.copies_missing = self.plan.copies_missing

    def _write_rows(self, number: int, file: ListedFile, parts: Sequence[Part], writer: BuildWriter) -> int:
        """Those of a file; how many there are."""
        count = 0
        for row in self.plan.rows(file, parts):
            writer.add_row(row, number)
            self.summary.add_row(file.split, row[EXPECTED_DURATION])
            count += 1
        return count


def _known(file: ListedFile, found: Measures | str) -> dict[str, Any]:
    """A file's row of the table of files, but for what the manifest makes of it."""
    row: dict[str, Any] = {"midi": file.midi, "piece": file.piece, "split": file.split}
    if isinstance(found, str):
        return row | {"error": found}
    measures = {name: getattr(found, name) for name in Measures.__slots__ if name not in ("likeness", "parts")}
    return row | measures | {"note_report": list(found.note_report.items())}
