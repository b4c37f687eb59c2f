"""What an evaluation says: one row for every clip and system."""

from typing import Any

import pyarrow as pa

MEASURES = (
    "spectrogram_gt",
    "spectrogram_rc",
    "chroma_gt",
    "chroma_rc",
    "onset_precision",
    "onset_recall",
    "onset_f1",
    "offset_f1",
    "velocity_f1",
    "velocity_correlation",
    "piano_recognised",
    "joint_prominence",
    "length_error_frames",
)
"""Distances to the recording (gt) and to the recording through the codec (rc); scores of notes; whether it sounds like
the recording's piano (1 or 0); joints; length.

Null is what was not measured or is not defined for a clip.
"""

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("condition", pa.string(), nullable=False),
    pa.field("system", pa.string(), nullable=False),
    pa.field("seconds", pa.float64(), nullable=False),
    pa.field("prompt_id", pa.string()),
    pa.field("error", pa.string()),
    *(pa.field(measure, pa.float64()) for measure in MEASURES),
]
EVALUATION_SCHEMA = pa.schema(_FIELDS)
