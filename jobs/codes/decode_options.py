"""What a user may ask of decoding a run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """The options of ``midi-valle decode``; JobError for a value that makes no sense.

    ``None`` stands for: the kind of device that rendered the run (``device``), the machine's CPUs, or one worker on a
    GPU (``workers``), the model at hand (``model``), no ``/`` in item ids (``id_separator``).
    """

    run: Annotated[str, Option("The folder of a run with --layout codes, or s3://bucket/prefix.", is_argument=True)]
    out: Annotated[str, Option("The run to make, with audio; the same command goes on.", is_argument=True)]
    layout: Annotated[Literal["files", "webdataset", "parquet"], Option("files, webdataset or parquet.")] = "files"
    id_separator: Annotated[str | None, Option("Stands for the / of item ids in names of files, as _ or --.")] = None
    model: Annotated[str | None, Option("The run's model directory, where it is not found by itself.")] = None
    device: Annotated[str | None, Option("cpu or cuda; by default what rendered the run.")] = None
    workers: Annotated[int | None, Option("Processes, each with the run's threads; all CPUs by default.")] = None
    s3_endpoint_url: Annotated[str | None, Option("S3 server, where it is not Amazon's.")] = None

    def __post_init__(self) -> None:
        check_choice(self, "layout")
        check_at_least(self, 1, "workers")
        if self.id_separator is not None and self.layout != "files":
            raise JobError(f"--id-separator does not go with --layout {self.layout}, which takes a / as it is")
        if self.device not in (None, "cpu", "cuda"):
            raise JobError(f"--device is {self.device!r}; it must be one of cpu, cuda")
