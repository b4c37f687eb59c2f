"""Sets of options for what a run is for; whatever else is given comes before them."""

from collections.abc import Mapping

PRESETS: Mapping[str, Mapping[str, object]] = {
    "transcription": {"attempts": 3, "sample_rate": 16_000, "tail": 0.5},
    "listening": {"attempts": 3, "loudness": "-23", "peak": "-1", "tail": 3.0},
    "draft": {"limit": 20, "format": "ogg"},
}
"""By the name that ``--preset`` takes.

``transcription`` keeps the best of three for labels that are heard, at the rate that transcribers read.
``listening`` brings all items to one loudness and lets the last chord ring. ``draft`` is the first twenty rows, small.
"""
