"""What a user may ask of ``midi-valle pack``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jobs.errors import JobError
from jobs.option import Option, check_at_least
from jobs.storage.s3_options import S3Options


@dataclass(frozen=True, kw_only=True)
class PackOptions(S3Options):
    """The options of ``midi-valle pack``. JobError for a value that makes no sense."""

    corpus: Annotated[str, Option("The corpus: what of it is finished is packed.", is_argument=True)]
    out: Annotated[Path, Option("The file to write, as pack.safetensors.")]
    codec: Annotated[
        str | None, Option("Codes of this codec or model, a name or directory; by default the corpus' own.")
    ] = None
    processes: Annotated[int | None, Option("By default as many as there are cores.")] = None

    def __post_init__(self) -> None:
        check_at_least(self, 1, "processes")
        if not self.out.absolute().parent.is_dir():
            raise JobError(f"--out {self.out}: there is no folder {self.out.absolute().parent}")
