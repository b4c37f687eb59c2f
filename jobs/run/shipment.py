"""What a driver may send to the nodes of a cluster (``--ship``): this package, and the directory of its model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.errors import JobError
from jobs.run.agreement import CODE

ROOT = Path(__file__).parents[2]
MODEL_FOLDER = "shipped-model"
MOST_BYTES = 500_000_000
"""What is sent lies in the memory of the cluster's head, and Ray takes not much more than this."""


@contextmanager
def shipment(model: Path | None) -> Iterator[dict[str, Any]]:
    """A ``runtime_env`` of Ray by which all workers use this copy of the package; it is packed while the block lasts.

    They work in a folder of their own that has it, and beside it the directory of a ``model`` if there is one. What is
    not Python's or ours must be installed there. JobError if it is more than can be sent.
    """
    with tempfile.TemporaryDirectory(prefix="render-corpus-") as name:
        for folder in CODE:
            (Path(name) / folder).symlink_to(ROOT / folder)
        if model is not None:
            _check_size(model)
            (Path(name) / MODEL_FOLDER).symlink_to(model)
        yield {"working_dir": name}


def as_shipped(model: str) -> str:
    """Where a model is here: the directory that came with the package, if one did, and not that of its name."""
    here = ROOT / MODEL_FOLDER
    return str(here) if Path(model).is_absolute() and here.is_dir() else model


def _check_size(model: Path) -> None:
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise JobError(
            f"--ship: {model} has {size / 1e9:.1f} GB, and no more than {MOST_BYTES / 1e9:.1f} can be sent through the "
            "cluster's head; put it on S3 (--model s3://bucket/model), from where each node reads it"
        )
