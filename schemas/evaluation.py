"""What an evaluation says: one row for every clip and system."""

from typing import Any

import pyarrow as pa

OCTAVES_HZ = (31, 62, 125, 250, 500, 1000, 2000, 4000, 8000)
"""Where the octaves begin, rounded down."""

OCTAVE_MEASURES = tuple(f"octave_{hertz}_hz" for hertz in OCTAVES_HZ)
NAMED = ("piano", "room", "condition")
"""What is named from the sound of a clip; a condition is a piano in a room."""

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
    "velocity_error",
    "level",
    *OCTAVE_MEASURES,
    "above_4_khz",
    "decay",
    "decay_error",
    *(f"{name}_recognised" for name in NAMED),
    "joint_prominence",
    "noise_floor_step",
    "length_error_frames",
)
"""What is measured; null is what was not measured or is not defined for a clip.

Distances to the recording (gt) and to the recording through the codec (rc). Scores of notes. Levels in dB beside the
recording's: as a whole, and at an equal level in octaves and above 4 kHz. Free decay in seconds for 60 dB, and how far
it is from the recording's, in per cent. Whether it is named as the recording's piano, room and condition (1 or 0).
Joints, the noise floor's step at them in dB; length.
"""

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("condition", pa.string(), nullable=False),
    pa.field("held_out", pa.bool_()),
    pa.field("system", pa.string(), nullable=False),
    pa.field("seconds", pa.float64(), nullable=False),
    pa.field("prompt_id", pa.string()),
    pa.field("error", pa.string()),
    *(pa.field(measure, pa.float64()) for measure in MEASURES),
]
EVALUATION_SCHEMA = pa.schema(_FIELDS)
