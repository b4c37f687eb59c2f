"""The table beside a manifest that was built: one row for every MIDI file that was found, usable or not."""

from typing import Any

import pyarrow as pa

FILES_SUFFIX = ".files.parquet"
"""How the table's name ends; what has this ending is no part of a manifest."""

EXPECTED_DURATION = "expected_duration_s"
"""The manifest's column of seconds of audio that a row will give. The results have ``duration_s``, what it gave."""

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("midi", pa.string(), nullable=False),
    pa.field("error", pa.string()),
    pa.field("rows", pa.int32(), nullable=False),
    pa.field("piece", pa.string(), nullable=False),
    pa.field("split", pa.string()),
    pa.field("duplicate_of", pa.string()),
    pa.field("duration_s", pa.float64()),
    pa.field("note_count", pa.int64()),
    pa.field("polyphony", pa.int32()),
    pa.field("pedalled", pa.float64()),
    pa.field("lowest_key", pa.int32()),
    pa.field("highest_key", pa.int32()),
    pa.field("lowest_velocity", pa.int32()),
    pa.field("highest_velocity", pa.int32()),
    pa.field("note_report", pa.map_(pa.string(), pa.int64())),
]
FILES_SCHEMA = pa.schema(_FIELDS)
"""``midi`` is as in the manifest, where the file has ``rows`` rows; ``error`` says why it cannot be rendered.

``duplicate_of`` is an earlier file with the same notes. ``duration_s`` is up to the last offset. ``polyphony`` is how
many notes sound at once, at most; ``pedalled`` the share of notes that sound on after their key is released.
``note_report`` counts what is changed, left out or mended on the way to notes.
"""
