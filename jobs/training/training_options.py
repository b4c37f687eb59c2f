"""What the options of both trainings have in common."""

from dataclasses import Field, fields
from typing import Any, ClassVar

_COURSE_FREE = {
    *("corpus", "out", "init", "codec", "s3_endpoint_url", "name", "licence", "stop_at", "log_every"),
    *("checkpoint_every", "validate_every", "validation_windows", "validation_crops", "sample_every", "samples"),
    *("transcriber", "workers", "cpus_per_worker", "threads", "device", "ray_address", "minutes", "readers", "compile"),
}
"""What does not change the course of a training, or is part of it by its content, not by its name."""


class TrainingOptions:
    """The options of a training, a dataclass; the fields are its subclasses'."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    cpus_per_worker: int

    @property
    def cpus_per_actor(self) -> int:
        """As Ray calls them."""
        return self.cpus_per_worker

    @property
    def course(self) -> dict[str, Any]:
        """All options that decide the course of a training, so that it cannot go on with others."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _COURSE_FREE}
