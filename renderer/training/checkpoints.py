"""Where a training stands, kept so that it can go on as if nothing had happened."""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from renderer.durable import sync, sync_folder
from renderer.errors import TrainingError

LAST, BEST, CONFIG = "last.pt", "best.pt", "training.json"
_FIELDS_SHOWN = 8


class Stateful(Protocol):
    """A module, an optimizer, a moving average: anything with a state of tensors and plain values."""

    def state_dict(self) -> Any:
        """Its state."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take over a state."""
        ...


class Checkpoints:
    """The checkpoints of one training in a folder: the last one, and the best one.

    ``config`` is all that decides the training's course, as JSON; ``parts`` is all that changes in its course. A
    checkpoint is there as a whole or not at all. TrainingError if the folder holds a training with another
    configuration, or a file that is damaged.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], parts: Mapping[str, Stateful]) -> None:
        self.folder = folder
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        self.parts = parts
        self.best: float | None = None

    def restore(self, name: str = LAST) -> int:
        """Take over a checkpoint; the number of steps done in it, 0 where there is none yet."""
        path = self.folder / name
        if not path.exists():
            self._check_config(self._written_config())
            return 0
        state = _load(path)
        self._check_config(json.loads(state["config"]))
        for part, stateful in self.parts.items():
            stateful.load_state_dict(state["parts"][part])
        self.best = state["best"]
        return int(state["step"])

    def save(self, step: int, score: float | None = None) -> bool:
        """Keep the parts as they are after ``step`` steps; whether they are the best so far, the lowest score."""
        is_best = score is not None and (self.best is None or score < self.best)
        if is_best:
            self.best = score
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / CONFIG).exists():
            document = {"fingerprint": fingerprint(self.config), "config": self.config}
            replace_file(self.folder / CONFIG, (json.dumps(document, indent=1) + "\n").encode())
        state = {
            "config": json.dumps(self.config),
            "step": step,
            "best": self.best,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        temporary = self.folder / f".{LAST}-{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                torch.save(state, file)
                file.flush()
                sync(file.fileno())
            if is_best:
                link = temporary.with_name(f"{temporary.name}-best")
                os.link(temporary, link)
                link.replace(self.folder / BEST)
            temporary.replace(self.folder / LAST)
            sync_folder(self.folder)
        except OSError as error:
            raise TrainingError(f"the checkpoint in {self.folder} cannot be written: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return is_best

    def _written_config(self) -> dict[str, Any]:
        path = self.folder / CONFIG
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))["config"] if path.exists() else self.config
        return config

    def _check_config(self, before: dict[str, Any]) -> None:
        names = sorted(before.keys() | self.config.keys())
        differing = [name for name in names if before.get(name) != self.config.get(name)]
        if differing:
            shown = "; ".join(
                f"{name} was {before.get(name)!r}, is {self.config.get(name)!r}" for name in differing[:_FIELDS_SHOWN]
            )
            raise TrainingError(
                f"{self.folder} holds a training with another configuration: {shown}. "
                "Use the same again to go on with it, or another folder"
            )


def fingerprint(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file in place of any there is, as a whole or not at all."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever a damaged file provokes, it is the file that is wrong.
        raise TrainingError(f"{path} is no checkpoint, or a damaged one: {error}") from error
    return state
