"""The results: one row for every row of the manifest, failed or not, with the manifest's columns after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

NOTE_TYPE = pa.struct(
    [
        pa.field("onset", pa.float64(), nullable=False),
        pa.field("offset", pa.float64(), nullable=False),
        pa.field("pitch", pa.uint8(), nullable=False),
        pa.field("velocity", pa.uint8(), nullable=False),
    ]
)
"""A note that was really rendered: seconds from the audio's first sample, MIDI key, MIDI velocity."""

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("shard", pa.int32(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error_type", pa.string()),
    pa.field("error_message", pa.string()),
    pa.field("audio_path", pa.string()),
    pa.field("audio_bytes", pa.int64()),
    pa.field("audio_sha256", pa.string()),
    pa.field("midi_path", pa.string()),
    pa.field("codes_path", pa.string()),
    pa.field("sample_rate", pa.int32()),
    pa.field("samples", pa.int64()),
    pa.field("duration_s", pa.float64()),
    pa.field("peak", pa.float64()),
    pa.field("rms_dbfs", pa.float64()),
    pa.field("clipped_samples", pa.int64()),
    pa.field("gain_db", pa.float64()),
    pa.field("gain_reason", pa.string()),
    pa.field("seed", pa.int64(), nullable=False),
    pa.field("prompt_id", pa.string()),
    pa.field("model_id", pa.string(), nullable=False),
    pa.field("segments", pa.int32()),
    pa.field("segments_retried", pa.int32()),
    pa.field("verdict", pa.string()),
    pa.field("faults", pa.list_(pa.string())),
    pa.field("quality_score", pa.float64()),
    pa.field("notes_found", pa.float64()),
    pa.field("attacks_explained", pa.float64()),
    pa.field("silence_s", pa.float64()),
    pa.field("joint_prominence", pa.float64()),
    pa.field("length_error", pa.int64()),
    pa.field("note_count", pa.int64()),
    pa.field("note_report", pa.map_(pa.string(), pa.int64())),
    pa.field("notes", pa.list_(NOTE_TYPE)),
    pa.field("render_seconds", pa.float64()),
]
RESULT_SCHEMA = pa.schema(_FIELDS)

Status = Literal["ok", "failed"]
Verdict = Literal["good", "poor"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ItemResult:
    """What became of one item. A failed item has an error and no audio.

    ``audio_path``, ``midi_path`` and ``codes_path`` are keys of the run directory, or ``key#member`` for what is
    in a tar or Parquet object; null is what the layout does not keep. Levels are of the audio as it is, before it
    was encoded: ``peak`` is the largest absolute sample, ``rms_dbfs`` is null for silence, ``clipped_samples``
    counts samples beyond full scale. ``gain_db`` was applied to what the model gave; where that did not bring it to
    the level asked for, ``gain_reason`` says why. ``seed`` is the one used, whether the manifest gave it or not.
    ``note_report`` counts the decisions about notes that are not rendered as they stand in the MIDI file.
    ``render_seconds`` is the item's share, by length, of the time its shard took.

    ``verdict`` is ``poor`` where a threshold of the run's settings is broken; ``faults`` names those that are. Both
    come from columns beside them, so that other thresholds can be set later: ``notes_found``, the share of notes
    that are heard to begin; ``attacks_explained``, the share of what is struck that belongs to a note;
    ``silence_s``, the longest silence while a note should sound; ``joint_prominence``, how much more the spectrum
    changes at the worst joint of two segments than elsewhere; ``length_error`` in samples; ``rms_dbfs``; and
    ``clipped_samples`` of ``samples``. They are of the audio as it is written, but for the notes, silences and
    joints, which are of the model's, before it was resampled and levelled. ``quality_score``, 0 to 1, is the harmonic
    mean of ``notes_found`` and ``attacks_explained``. A measure that is not defined is null, never NaN: the joints'
    where there are none or onsets hide them. ``segments_retried`` counts the ``segments`` that were attempted again.
    """

    item_id: str
    shard: int
    status: Status
    seed: int
    model_id: str
    error_type: str | None = None
    error_message: str | None = None
    audio_path: str | None = None
    audio_bytes: int | None = None
    audio_sha256: str | None = None
    midi_path: str | None = None
    codes_path: str | None = None
    sample_rate: int | None = None
    samples: int | None = None
    duration_s: float | None = None
    peak: float | None = None
    rms_dbfs: float | None = None
    clipped_samples: int | None = None
    gain_db: float | None = None
    gain_reason: str | None = None
    prompt_id: str | None = None
    segments: int | None = None
    segments_retried: int | None = None
    verdict: Verdict | None = None
    faults: Sequence[str] | None = None
    quality_score: float | None = None
    notes_found: float | None = None
    attacks_explained: float | None = None
    silence_s: float | None = None
    joint_prominence: float | None = None
    length_error: int | None = None
    note_report: Mapping[str, int] | None = None
    notes: pa.StructArray | None = None
    render_seconds: float | None = None

    @property
    def note_count(self) -> int | None:
        """How many notes were rendered."""
        return None if self.notes is None else len(self.notes)


def note_array(onset: Any, offset: Any, pitch: Any, velocity: Any) -> pa.StructArray:
    """Notes as ``ItemResult.notes`` takes them, from four arrays of equal length."""
    values = (onset, offset, pitch, velocity)
    return pa.StructArray.from_arrays(
        [pa.array(value, field.type) for value, field in zip(values, NOTE_TYPE, strict=True)],
        fields=list(NOTE_TYPE),
    )


def results_table(results: Sequence[ItemResult], manifest_rows: pa.Table) -> pa.Table:
    """The results of consecutive manifest rows, followed by those rows' own columns, unchanged.

    Of the manifest's columns only ``item_id`` and ``seed`` are left out: the results have their own.
    """
    columns = [_column(results, field) for field in RESULT_SCHEMA]
    table = pa.Table.from_arrays(columns, schema=RESULT_SCHEMA)
    for field in manifest_rows.schema:
        if field.name not in RESULT_SCHEMA.names:
            table = table.append_column(field, manifest_rows.column(field.name))
    return table


def _column(results: Sequence[ItemResult], field: "pa.Field[Any]") -> "pa.Array[Any]":
    values = [getattr(result, field.name) for result in results]
    if field.name == "notes":
        return _lists(values)
    if field.name == "note_report":
        values = [None if value is None else list(value.items()) for value in values]
    return pa.array(values, field.type)


def _lists(values: Sequence[pa.StructArray | None]) -> "pa.ListArray[Any]":
    """One list per value, without a Python object per note."""
    offsets: list[int | None] = []
    end = 0
    for value in values:
        offsets.append(None if value is None else end)
        end += 0 if value is None else len(value)
    flat = [value for value in values if value is not None]
    notes = pa.concat_arrays(flat) if flat else pa.array([], NOTE_TYPE)
    return pa.ListArray.from_arrays(pa.array([*offsets, end], pa.int32()), notes, type=pa.list_(NOTE_TYPE))
