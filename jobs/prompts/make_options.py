"""What a user may ask of ``midi-valle prompts make``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """The options of ``midi-valle prompts make``; JobError for a value that makes no sense."""

    sources: Annotated[
        Sequence[str],
        Option(
            "Recordings, folders of them, or tables (Parquet, CSV) with the columns audio and midi, as MAESTRO's.",
            is_argument=True,
        ),
    ]
    out: Annotated[Path, Option("The bank to make, as bank.parquet; its clips go into bank/ beside it.")]
    midi: Annotated[
        Path | None, Option("Folder of MIDI files named as the recordings; by default they lie beside these.")
    ] = None
    per_recording: Annotated[int, Option("Prompts of each recording, at most.", least=1)] = 1
    align: Annotated[bool, Option("Mend a recording that is early or late against its MIDI; else it is refused.")] = (
        False
    )
    licence: Annotated[str | None, Option("Of recordings whose table has no column licence, as 'CC BY 4.0'.")] = None
    source: Annotated[str | None, Option("Where these come from, as a title or an address.")] = None
    transcriber: Annotated[
        Literal["transkun", "basic-pitch", "none"],
        Option("Hears what has no MIDI: transkun, basic-pitch, none."),
    ] = "transkun"
    processes: Annotated[
        int | None, Option("So many recordings side by side; by default as many as there are cores.", least=1)
    ] = None
    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.")] = None

    def __post_init__(self) -> None:
        check_choice(self, "transcriber")
        check_at_least(self, 1, "per_recording", "processes")
        if self.out.suffix != ".parquet":
            raise JobError(f"--out is {self.out}; a bank is a Parquet file, as {self.out.with_suffix('.parquet')}")

    @property
    def clips(self) -> Path:
        """The folder of the bank's audio and MIDI."""
        return self.out.with_suffix("")

    @property
    def refused(self) -> Path:
        """The table of what was refused, and why."""
        return self.out.with_name(f"{self.out.stem}-refused.csv")
