"""What a user may ask of a run."""

import math
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import JobError


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """The options of ``render-corpus``, under the same names and with the same defaults.

    ``None`` stands for: the whole manifest (``limit``), by the number of actors (``shard_items``), all that
    the machine has (``gpus``, ``actors``). JobError for a value that makes no sense.
    """

    manifest: str
    out: str = "out"
    model: str = "mini"
    model_file: Path | None = None
    codec_file: Path | None = None
    prompts: str | None = None
    format: str = "flac"
    tail: float = 1.0
    pedal: str = "model"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    limit: int | None = None
    shard_items: int | None = None
    gpus: int | None = None
    actors: int | None = None
    cpus_per_actor: int = 1
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 16
    dry_run: bool = False

    def __post_init__(self) -> None:
        for name in ("limit", "shard_items", "actors", "cpus_per_actor", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise JobError(f"{_flag(name)} is {value}; it must be 1 or more")
        if self.gpus is not None and self.gpus < 0:
            raise JobError(f"--gpus is {self.gpus}; it must be 0 (none) or more")
        if not (math.isfinite(self.tail) and 0 <= self.tail <= 60):
            raise JobError(f"--tail is {self.tail}; it must be 0 to 60 seconds")
        if not -(2**63) <= self.seed < 2**63:
            raise JobError(f"--seed is {self.seed}; it must fit 64 bits")
        self._check_choice("pedal", "model", "ignore", "extend")
        self._check_choice("device", "auto", "cpu", "cuda")
        if self.device == "cpu" and self.gpus:
            raise JobError(f"--gpus {self.gpus} does not go with --device cpu")
        if self.device == "cuda" and self.gpus == 0:
            raise JobError("--gpus 0 does not go with --device cuda")

    def _check_choice(self, name: str, *choices: str) -> None:
        if getattr(self, name) not in choices:
            raise JobError(f"{_flag(name)} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
