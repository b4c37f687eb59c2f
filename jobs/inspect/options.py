"""What a user may ask of ``midi-valle status``, ``report``, ``verify`` and ``gc``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from jobs.option import Option, check_at_least
from jobs.storage.s3_options import S3Options

if TYPE_CHECKING:
    from jobs.run_directory.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class InspectOptions(S3Options):
    """The options of what is done with a run's folder once it has begun."""

    out: Annotated[str, Option("The run's folder, or s3://bucket/prefix: what --out was.", is_argument=True)]

    @property
    def directory(self) -> "RunDirectory":
        """The run's folder."""
        from jobs.run_directory.run_directory import RunDirectory
        from jobs.storage import open_storage

        return RunDirectory(open_storage(self.out, self.s3))


@dataclass(frozen=True, kw_only=True)
class StatusOptions(InspectOptions):
    """The options of ``midi-valle status``."""

    nodes: Annotated[bool, Option("Tell of each node, by the run's events.")] = False


@dataclass(frozen=True, kw_only=True)
class ReportOptions(InspectOptions):
    """The options of ``midi-valle report``. ``model`` None stands for one that comes with the package."""

    model: Annotated[
        str | None, Option("The run's model, if it is a directory: its prompts are heard beside the items.")
    ] = None
    allow_root: Annotated[Sequence[str], Option("A folder beside the manifest's that holds prompts; repeatable.")] = ()


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(InspectOptions):
    """The options of ``midi-valle verify``. ``processes`` None stands for as many as there are cores."""

    quick: Annotated[bool, Option("Compare sizes only: no hashes, no decoding.")] = False
    processes: Annotated[int | None, Option("Processes that check side by side; by default one for each core.")] = None
    ray_address: Annotated[str | None, Option("A Ray cluster to check on, auto on its head; else this machine.")] = None

    def __post_init__(self) -> None:
        check_at_least(self, 1, "processes")

    @property
    def cpus_per_actor(self) -> int:
        """As Ray calls them."""
        return 1


@dataclass(frozen=True, kw_only=True)
class GarbageOptions(InspectOptions):
    """The options of ``midi-valle gc``."""

    yes: Annotated[bool, Option("Delete; without it, they are only shown.")] = False
    older_than: Annotated[
        float, Option("Hours for which nothing must have been written, as a run may be under way.", least=0.0)
    ] = 1.0
