"""What a group of clips gave, as it is kept until all are done."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from renderer.evaluation.frechet import Gaussian

_COUNT, _MEAN, _SCATTER, _ROWS = "count", "mean", "scatter", "rows"


@dataclass(frozen=True, eq=False)
class Part:
    """What some subjects gave: rows, and sums for Frechet distances, by system and embedding."""

    rows: Sequence[Mapping[str, Any]]
    gaussians: Mapping[tuple[str, str], Gaussian] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As a NumPy archive."""
        arrays: dict[str, Any] = {_ROWS: np.array(json.dumps(self.rows))}
        for (system, embedding), gaussian in self.gaussians.items():
            name = json.dumps([system, embedding])
            arrays |= {
                f"{_COUNT}{name}": np.array(gaussian.count),
                f"{_MEAN}{name}": gaussian.mean,
                f"{_SCATTER}{name}": gaussian.scatter,
            }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Part":
        """What :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = [key.removeprefix(_COUNT) for key in arrays.files if key.startswith(_COUNT)]
            gaussians = {}
            for name in names:
                gaussian = Gaussian(int(arrays[_COUNT + name]), arrays[_MEAN + name], arrays[_SCATTER + name])
                gaussians[cast(tuple[str, str], tuple(json.loads(name)))] = gaussian
            return cls(json.loads(str(arrays[_ROWS])), gaussians)
