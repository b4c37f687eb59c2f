"""What a user may ask of a training of the language model."""

from dataclasses import dataclass, fields
from typing import Any

from jobs.errors import JobError

SIZES: dict[str, dict[str, int]] = {
    "mini": {"d_model": 256, "heads": 4, "layers": 4},
    "published": {"d_model": 1024, "heads": 16, "layers": 12},
}

_COURSE_FREE = {
    *("corpus", "out", "init", "codec", "s3_endpoint_url", "name", "licence", "stop_at", "log_every"),
    *("checkpoint_every", "validate_every", "validation_windows", "sample_every", "samples", "transcriber"),
    *("workers", "cpus_per_worker", "threads", "device", "ray_address", "minutes", "readers", "compile"),
}
"""What does not change the course of a training, or is part of it by its content, not by its name."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of ``midi-valle train``, under the same names and with the same defaults.

    ``init`` None begins with random weights, of ``size`` or of ``d_model``, ``heads`` and ``layers``, with or without a
    ``piano_roll`` and a summary of the prompt (renderer/model). ``codec`` None stands for that of ``init``. With
    ``minutes``, as many steps are done as fit into them. JobError for a value that makes no sense.
    """

    corpus: str
    out: str = "training"
    init: str | None = None
    codec: str | None = None
    name: str = "midi-valle-trained"
    licence: str = "not stated"
    s3_endpoint_url: str | None = None
    size: str = "mini"
    d_model: int | None = None
    heads: int | None = None
    layers: int | None = None
    piano_roll: bool = True
    summary_width: int = 0
    longest: float = 10.0
    shortest: float = 2.0
    longest_share: float = 0.7
    cross_prompt: float = 0.8
    drop_prompt: float = 0.0
    stages: str = "both"
    all_nar_stages: bool = False
    train_end: bool = False
    steps: int = 20_000
    minutes: float = 0.0
    batch: int = 16
    micro_batch: int = 4
    rate: float = 6e-4
    warmup: int = 500
    decay: str = "cosine"
    floor: float = 0.05
    dropout: float = 0.0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999
    precision: str = "bf16"
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 200
    validate_every: int = 500
    validation_windows: int = 32
    sample_every: int = 2000
    samples: int = 4
    transcriber: str | None = None
    stop_at: int | None = None
    workers: int = 1
    cpus_per_worker: int = 1
    threads: int = 0
    readers: int | None = None
    compile: bool = False
    device: str = "auto"
    ray_address: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "micro_batch", "workers", "cpus_per_worker", "log_every", "checkpoint_every"):
            self._at_least(name, 1)
        for name in (
            "validate_every",
            "sample_every",
            "validation_windows",
            "samples",
            "threads",
            "minutes",
            "summary_width",
        ):
            self._at_least(name, 0)
        if self.minutes and (self.workers > 1 or self.stop_at is not None):
            raise JobError("--minutes is for one process, and has an end of its own: not with --workers or --stop-at")
        if self.batch < self.workers:
            raise JobError(f"--batch is {self.batch}; each of {self.workers} workers needs a window")
        if self.size not in SIZES:
            raise JobError(f"--size is {self.size!r}; it must be one of {', '.join(SIZES)}")
        own = [name for name in ("d_model", "heads", "layers", "summary_width") if getattr(self, name)]
        if self.init is not None and own:
            raise JobError(f"--{own[0].replace('_', '-')} does not go with --init, whose size it is")
        if self.init is None and self.codec is None:
            raise JobError("give --codec, the model directory whose codec made the corpus's codes, or --init")

    @property
    def sizes(self) -> dict[str, int]:
        """The network's d_model, heads and layers, where it begins with random weights."""
        return {name: getattr(self, name) or size for name, size in SIZES[self.size].items()}

    @property
    def cpus_per_actor(self) -> int:
        """As Ray calls them."""
        return self.cpus_per_worker

    @property
    def course(self) -> dict[str, Any]:
        """All options that decide the course of a training, so that it cannot go on with others."""
        course = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _COURSE_FREE}
        return {**course, "steps": "as many as there is time for"} if self.minutes else course

    def _at_least(self, name: str, least: int) -> None:
        if (getattr(self, name) or 0) < least:
            raise JobError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be {least} or more")
