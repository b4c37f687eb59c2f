"""What an evaluation comes to: means with their intervals, Frechet distances, and the table of all systems."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from jobs.evaluation.systems import GT, RC
from renderer.evaluation.frechet import Gaussian, frechet_distance
from schemas.evaluation import MEASURES

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``count`` clips, and half the width of its 95 % t interval: NaN for fewer than two clips."""

    mean: float
    half_width: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Of values, of which there is at least one."""
        count = len(values)
        half_width = float("nan")
        if count > 1:
            error = float(np.std(values, ddof=1)) / math.sqrt(count)
            half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
        return cls(float(np.mean(values)), half_width, count)


@dataclass(frozen=True, eq=False)
class SystemSummary:
    """One row of the table. ``frechet`` is by (embedding, reference); ``frames`` by embedding."""

    system: str
    clips: int
    failed: int
    estimates: Mapping[str, Estimate]
    frechet: Mapping[tuple[str, str], float]
    frames: Mapping[str, int]
    worst_length_error: float | None = None


def summarize(rows: Sequence[Mapping[str, Any]], gaussians: Mapping[tuple[str, str], Gaussian]) -> list[SystemSummary]:
    """Every system's summary, in the order in which they appear in the rows."""
    summaries = []
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        estimates = {}
        for measure in MEASURES:
            values = [row[measure] for row in own if row.get(measure) is not None]
            if values:
                estimates[measure] = Estimate.of(values)
        errors = [row["length_error_frames"] for row in own if row.get("length_error_frames") is not None]
        found = {embedding: gaussian for (name, embedding), gaussian in gaussians.items() if name == system}
        summaries.append(
            SystemSummary(
                system=system,
                clips=len(own),
                failed=sum(row.get("error") is not None for row in own),
                estimates=estimates,
                frechet={
                    (embedding, short): frechet_distance(gaussian, gaussians[reference, embedding])
                    for embedding, gaussian in found.items()
                    for short, reference in (("gt", GT), ("rc", RC))
                    if (short == "gt" or system not in (GT, RC))
                    and min(gaussian.count, _frames(gaussians, reference, embedding)) > 1
                },
                frames={embedding: gaussian.count for embedding, gaussian in found.items()},
                worst_length_error=max(errors, default=None),
            )
        )
    return summaries


def _frames(gaussians: Mapping[tuple[str, str], Gaussian], system: str, embedding: str) -> int:
    gaussian = gaussians.get((system, embedding))
    return 0 if gaussian is None else gaussian.count
