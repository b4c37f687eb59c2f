"""What the options of both trainings have in common."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

from jobs.option import Option
from jobs.storage.s3_options import S3Options

MACHINE = "Machine and pace"
_COURSE_FREE = {
    *(field.name for field in fields(S3Options)),
    *("corpus", "out", "init", "codec", "name", "licence", "stop_at", "log_every"),
    *("checkpoint_every", "validate_every", "validation_windows", "validation_crops", "sample_every", "samples"),
    *("transcriber", "workers", "cpus_per_worker", "threads", "device", "ray_address", "minutes", "readers", "compile"),
}
"""What does not change the course of a training, or is part of it by its content, not by its name."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(S3Options):
    """The options of a training: those of its own are its subclasses'."""

    cpus_per_worker: Annotated[int, Option("For each of several workers.", MACHINE)] = 1

    @property
    def cpus_per_actor(self) -> int:
        """As Ray calls them."""
        return self.cpus_per_worker

    @property
    def course(self) -> dict[str, Any]:
        """All options that decide the course of a training, so that it cannot go on with others."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _COURSE_FREE}
