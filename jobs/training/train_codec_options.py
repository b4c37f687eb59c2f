"""What a user may ask of a training of a codec."""

from dataclasses import dataclass, fields
from typing import Any

from jobs.errors import JobError

TYPES = ("sinusoidal", "encodec", "frame")

_COURSE_FREE = {
    *("corpus", "out", "init", "s3_endpoint_url", "name", "licence", "stop_at", "log_every", "checkpoint_every"),
    *("validate_every", "validation_crops", "workers", "cpus_per_worker", "threads", "device", "ray_address"),
}
"""What does not change the course of a training, or is part of it by its content, not by its name."""


@dataclass(frozen=True, kw_only=True)
class TrainCodecOptions:
    """The options of ``midi-valle train-codec``, under the same names and with the same defaults.

    ``init`` None begins with random weights, of the codec ``type``; else it is a codec or model directory, or a file
    of audiocraft or encodec. ``adversary_from`` is the first step with an adversary, None for none at all. JobError
    for a value that makes no sense.
    """

    corpus: str
    out: str = "codec-training"
    init: str | None = None
    type: str = "sinusoidal"
    name: str = "codec-trained"
    licence: str = "not stated"
    s3_endpoint_url: str | None = None
    crop_seconds: float = 1.28
    steps: int = 20_000
    batch: int = 16
    unquantized: int = 1000
    shallow: float = 0.25
    resolutions: int = 2
    waveform: float = 0.0
    notes: float = 0.1
    told: float = 0.8
    keep_codes: bool = False
    rate: float = 8e-4
    warmup: int = 200
    decay: str = "cosine"
    floor: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999
    adversary_from: int | None = None
    adversary_filters: int = 32
    precision: str = "bf16"
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 200
    validate_every: int = 500
    validation_crops: int = 64
    stop_at: int | None = None
    workers: int = 1
    cpus_per_worker: int = 1
    threads: int = 0
    device: str = "auto"
    ray_address: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "workers", "cpus_per_worker", "log_every", "checkpoint_every", "resolutions"):
            self._at_least(name, 1)
        for name in ("validate_every", "validation_crops", "threads", "unquantized"):
            self._at_least(name, 0)
        if self.crop_seconds < 0.5:
            raise JobError(f"--crop-seconds is {self.crop_seconds}; half a second is the least that makes sense")
        if self.batch % self.workers:
            raise JobError(f"--batch is {self.batch}; {self.workers} workers cannot share it evenly")
        if self.keep_codes and self.init is None:
            raise JobError("--keep-codes needs --init: random weights have no codes that could be kept")
        if self.type not in TYPES:
            raise JobError(f"--type is {self.type!r}; it must be one of {', '.join(TYPES)}")

    @property
    def cpus_per_actor(self) -> int:
        """As Ray calls them."""
        return self.cpus_per_worker

    @property
    def course(self) -> dict[str, Any]:
        """All options that decide the course of a training, so that it cannot go on with others."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _COURSE_FREE}

    def _at_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise JobError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be {least} or more")
