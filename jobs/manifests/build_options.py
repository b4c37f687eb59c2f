"""What a user may ask of ``midi-valle manifest build``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.manifests.augmentation import Augmentation
from jobs.manifests.splits import parsed_shares
from jobs.option import Option, check_at_least, check_choice

PROMPTS, SPLITS, ROWS, MACHINE = "Prompts", "Pieces and splits", "Rows of a file", "Machine"
MOST_COPIES = 1000
_LIKE_AUGMENT = ("transpose=", "tempo=", "velocity=")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options of ``midi-valle manifest build``.

    ``None`` stands for: the table's own folder (``midi_root``), a table's splits if it has any (``split``), what a
    table says, or each file by itself (``piece``), one copy if any (``copies``), whole files (``excerpt``), all cores
    (``processes``). JobError for a value that makes no sense.
    """

    sources: Annotated[
        Sequence[str],
        Option(
            "Folders, S3 prefixes, patterns (quoted), MIDI files, or tables of MAESTRO, ATEPP, GiantMIDI-Piano or "
            "ASAP, or one's own with a column midi.",
            is_argument=True,
        ),
    ]
    out: Annotated[str, Option("The manifest to write, local or on S3; beside it what is known of each file.")] = (
        "manifest.parquet"
    )
    midi_root: Annotated[str | None, Option("Where a table's files lie, if not beside it.")] = None
    drop_duplicates: Annotated[bool, Option("Leave out files with the same notes as an earlier one.")] = False
    prompt: Annotated[
        Sequence[str], Option("Id of a prompt (midi-valle prompts list); repeatable.", PROMPTS, shows_default=False)
    ] = ()
    prompts: Annotated[str | None, Option("Prompt bank: without --prompt, all of its prompts.", PROMPTS)] = None
    prompt_column: Annotated[str | None, Option("A table's column that holds each file's prompt.", PROMPTS)] = None
    prompt_order: Annotated[
        Literal["round-robin", "random"], Option("How several are given out: round-robin or random.", PROMPTS)
    ] = "round-robin"
    prompts_each: Annotated[int, Option("Render everything with so many different prompts.", PROMPTS)] = 1
    split: Annotated[
        str | None,
        Option("Shares of training, validation, test, by piece: 0.8,0.1,0.1; or metadata: as a table says.", SPLITS),
    ] = None
    piece: Annotated[
        str | None, Option("What makes files renderings of one piece: folder, or a table's column.", SPLITS)
    ] = None
    excerpt: Annotated[float | None, Option("Cut performances into excerpts of so many seconds.", ROWS)] = None
    augment: Annotated[
        Sequence[str],
        Option(
            "Bounds of changed copies: transpose=-2..2 (semitones), tempo=.95..1.05, velocity=.8..1.2; repeatable. "
            "With splits, training alone is augmented.",
            ROWS,
            shows_default=False,
        ),
    ] = ()
    copies: Annotated[int | None, Option("Changed copies beside each performance as it is.", ROWS)] = None
    seed: Annotated[int, Option("Decides all that is drawn.", ROWS)] = 0
    pedal: Annotated[
        Literal["extend", "ignore"], Option("How the run will take the sustain pedal: extend or ignore.", ROWS)
    ] = "extend"
    processes: Annotated[int | None, Option("Processes that read; by default as many as there are cores.", MACHINE)] = (
        None
    )
    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.", MACHINE)] = None

    def __post_init__(self) -> None:
        check_choice(self, "prompt_order", "pedal")
        check_at_least(self, 1, "prompts_each", "copies", "processes")
        self._check_sources()
        self._check_prompts()
        if self.copies is not None and not self.augment:
            raise JobError("--copies needs --augment, which says how they differ, as --augment transpose=-2..2")
        if self.copies is not None and self.copies > MOST_COPIES:
            raise JobError(f"--copies is {self.copies}; it must be {MOST_COPIES:,} at most")
        if self.excerpt is not None and not 1 <= self.excerpt < math.inf:
            raise JobError(f"--excerpt is {self.excerpt:g}; it must be 1 second or more")
        if not self.out.endswith(".parquet"):
            raise JobError(f"--out is {self.out}; a manifest is built as Parquet: give it the ending .parquet")
        _ = self.shares, self.augmentation

    def _check_sources(self) -> None:
        if stray := next((source for source in self.sources if source.startswith(_LIKE_AUGMENT)), None):
            raise JobError(f"{stray} stands where a source does: write --augment before it as well, --augment {stray}")

    def _check_prompts(self) -> None:
        ways = bool(self.prompt) or self.prompts is not None
        if ways == (self.prompt_column is not None):
            raise JobError(
                "give --prompt ID (midi-valle prompts list shows them), --prompts BANK or --prompt-column NAME"
                + (", not a column beside the others" if ways else "")
            )
        if self.prompt_column is not None and self.prompts_each > 1:
            raise JobError("--prompts-each does not go with --prompt-column, which gives every file one prompt")
        if doubled := next((name for name in self.prompt if self.prompt.count(name) > 1), None):
            raise JobError(f"--prompt {doubled} is given twice")
        if "" in self.prompt:
            raise JobError("--prompt is empty; midi-valle prompts list shows the ids")

    @cached_property
    def shares(self) -> tuple[float, float, float] | None:
        """The shares of the splits, if they are to be drawn."""
        return None if self.split is None else parsed_shares(self.split)

    @cached_property
    def augmentation(self) -> Augmentation | None:
        """The bounds of changes, if there are to be copies."""
        return Augmentation.parsed(self.augment) if self.augment else None

    @property
    def changed_copies(self) -> int:
        """How many copies each performance has beside itself."""
        return (self.copies or 1) if self.augment else 0
