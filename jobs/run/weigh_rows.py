"""What can be known of how long a manifest's rows take, before any of them is read."""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from jobs.errors import InputError, JobError
from jobs.inputs.inputs import Inputs, is_s3
from jobs.storage import open_storage
from schemas.manifest import END, MIDI, START, TEMPO, Manifest
from schemas.midi_files import EXPECTED_DURATION

DURATIONS = (EXPECTED_DURATION, "audio_seconds", "duration", "track_duration")
"""Columns that say how long a row is, in seconds: that of a built manifest, one of one's own, MAESTRO's, ATEPP's."""

MOST_FILES, MOST_OBJECTS = 100_000, 50_000
"""Of so many files, or objects on S3, the sizes are looked at; with more, no single one is long beside the rest."""


def weigh_rows(manifest: Manifest, folder: str, inputs: Inputs) -> NDArray[np.float64] | None:
    """A number for each row, about in proportion to its length; None if nothing is known.

    The parts of files that rows name, else what a column says, else the sizes of the files. ``folder`` is the
    manifest's own, in which relative names lie.
    """
    starts, ends, tempos = (_numbers(manifest, column.name) for column in (START, END, TEMPO))
    if ends is not None and not np.isnan(ends).any():
        seconds = ends - (0.0 if starts is None else np.nan_to_num(starts))
        return seconds / (1.0 if tempos is None else np.nan_to_num(tempos, nan=1.0))
    for name in DURATIONS:
        if (durations := _numbers(manifest, name)) is not None:
            return np.nan_to_num(np.maximum(durations, 0.0), nan=0.0, posinf=0.0)
    return _file_sizes(manifest, folder, inputs)


def _numbers(manifest: Manifest, name: str) -> NDArray[np.float64] | None:
    """A column as numbers, NaN where it is null; None if there is none."""
    column = manifest.numbers(name)
    return None if column is None else np.asarray(column.to_numpy(), np.float64)


def _file_sizes(manifest: Manifest, folder: str, inputs: Inputs) -> NDArray[np.float64] | None:
    names = [str(name) for batch in manifest.batches(MIDI) for name in batch.column(0).to_pylist()]
    different = set(names)
    if len(different) > (MOST_OBJECTS if is_s3(folder) else MOST_FILES):
        return None
    if is_s3(folder):
        sizes = _listed_sizes(folder, len(different), inputs)
    else:
        sizes = {name: _size(name, folder, inputs) for name in different if not is_s3(name)}
    found = np.array([sizes.get(name, 0) for name in names], np.float64)
    # Of what is not known, a row is as long as the others.
    return np.where(found > 0, found, found[found > 0].mean()) if (found > 0).any() else None


def _listed_sizes(folder: str, files: int, inputs: Inputs) -> dict[str, int]:
    """The sizes of what lies in a manifest's prefix, by relative name: a request tells those of a thousand."""
    try:
        listing = open_storage(folder, inputs.s3).listing()
        return {found.key: found.bytes for found in islice(listing, 2 * files + 10_000)}
    except JobError:  # Who may read objects may not be allowed to list them.
        return {}


def _size(name: str, folder: str, inputs: Inputs) -> int:
    try:
        return inputs.local(name, folder).stat().st_size
    except (InputError, OSError):  # Its item will fail.
        return 0
