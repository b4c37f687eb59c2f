"""What a user may ask of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import JobError
from schemas.item_ids import why_unsafe


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """The options of ``render-corpus``, under the same names and with the same defaults.

    ``None`` stands for: the whole manifest (``limit``), the model's own (``sample_rate``), by the number of actors
    (``shard_items``), all that the machine has (``gpus``, ``actors``), what suits the device (``batch_size``, as
    ``precision`` auto), no ``/`` in item ids (``id_separator``). JobError for a value that makes no sense.
    """

    manifest: str
    out: str = "out"
    model: str = "mini"
    model_file: Path | None = None
    codec_file: Path | None = None
    prompts: str | None = None
    allow_root: Sequence[str] = ()
    s3_endpoint_url: str | None = None
    layout: str = "files"
    format: str = "flac"
    sample_rate: int | None = None
    loudness: str = "off"
    peak: str = "off"
    save_codes: bool = False
    tail: float = 1.0
    pedal: str = "model"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    attempts: int = 1
    quality_threshold: Sequence[str] = ()
    limit: int | None = None
    id_separator: str | None = None
    shard_items: int | None = None
    gpus: int | None = None
    actors: int | None = None
    cpus_per_actor: int = 1
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    ray_address: str | None = None
    item_timeout: float = 600.0
    max_failures: int | None = None
    retry_failed: bool = False
    extend: bool = False
    overwrite: bool = False
    yes: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        for name in ("limit", "shard_items", "actors", "cpus_per_actor", "batch_size", "max_failures", "attempts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise JobError(f"{_flag(name)} is {value}; it must be 1 or more")
        if self.gpus is not None and self.gpus < 0:
            raise JobError(f"--gpus is {self.gpus}; it must be 0 (none) or more")
        if not self.item_timeout > 0:
            raise JobError(f"--item-timeout is {self.item_timeout:g}; it must be more than 0 seconds")
        if self.overwrite and (self.extend or self.retry_failed):
            raise JobError("--overwrite deletes the run that --extend or --retry-failed would go on with")
        if self.ray_address is not None and self.gpus is None and self.actors is None:
            raise JobError("--ray-address needs --gpus, or --actors with --device cpu: how many the cluster is to give")
        if not (math.isfinite(self.tail) and 0 <= self.tail <= 60):
            raise JobError(f"--tail is {self.tail}; it must be 0 to 60 seconds")
        if self.attempts > 1 and self.temperature == 0:
            raise JobError(f"--attempts {self.attempts} does not go with --temperature 0: all attempts would be alike")
        if not -(2**63) <= self.seed < 2**63:
            raise JobError(f"--seed is {self.seed}; it must fit 64 bits")
        for root in self.allow_root:
            if not (root.startswith("s3://") or Path(root).is_dir()):
                raise JobError(f"--allow-root {root}: there is no such folder")
        self._check_choice("layout", "files", "webdataset", "parquet", "none")
        if self.layout == "none" and self.save_codes:
            raise JobError("--save-codes does not go with --layout none, which keeps nothing but the result rows")
        if self.id_separator is not None:
            if self.layout != "files":
                raise JobError(f"--id-separator does not go with --layout {self.layout}, which takes a / as it is")
            if "/" in self.id_separator or why_unsafe(f"a{self.id_separator}b"):
                raise JobError(f"--id-separator is {self.id_separator!r}, which cannot be part of a file name")
        self._check_choice("pedal", "model", "ignore", "extend")
        self._check_choice("device", "auto", "cpu", "cuda")
        if self.device == "cpu" and self.gpus:
            raise JobError(f"--gpus {self.gpus} does not go with --device cpu")
        if self.device == "cuda" and self.gpus == 0:
            raise JobError("--gpus 0 does not go with --device cuda")

    def _check_choice(self, name: str, *choices: str) -> None:
        if getattr(self, name) not in choices:
            raise JobError(f"{_flag(name)} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}")


def decibels(name: str, text: str) -> float | None:
    """A level that an option gives, None for ``off``; JobError if it is neither."""
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise JobError(f"{_flag(name)} is {text!r}; it must be a number of decibels, or off") from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
