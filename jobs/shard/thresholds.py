"""What a run's renderings must keep to, by its settings."""

from dataclasses import replace
from typing import NamedTuple

from renderer.quality.quality import QualityThresholds
from schemas.run import RunSettings

_BEFORE = {"codes_match": 0.0}
"""What is asked by runs that began before there was such a threshold: nothing."""


class Thresholds(NamedTuple):
    """Of what is ``written``, and of the ``takes`` that a model gives of a segment.

    What clips is what is written: a take that is brought to another level may go beyond full scale.
    """

    written: QualityThresholds
    takes: QualityThresholds

    @classmethod
    def of(cls, settings: RunSettings) -> "Thresholds":
        """Those of a run."""
        written = QualityThresholds(**{**_BEFORE, **settings.thresholds} if settings.thresholds else {})
        is_levelled = settings.loudness is not None or settings.peak is not None
        return cls(written, replace(written, clipped=1.0) if is_levelled else written)
