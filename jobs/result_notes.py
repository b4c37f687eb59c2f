"""The notes of result rows, as the renderer knows them."""

from typing import Any

import numpy as np
import pyarrow as pa

from renderer.midi.notes import Notes
from schemas.results import NOTE_TYPE


def notes_of(cell: "pa.Scalar[Any]") -> Notes:
    """The notes in one row of the column ``notes``, exactly as they were rendered."""
    notes = cell.values  # type: ignore[attr-defined]
    return Notes.of(*(np.asarray(notes.field(field.name)) for field in NOTE_TYPE))
