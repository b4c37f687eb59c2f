"""The results: one row for every row of the manifest, failed or not, with the manifest's columns after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

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

Status = Literal["ok", "failed"]
Verdict = Literal["good", "poor"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ItemResult:
    """What became of one item: a row of the results, a column for each field. A failed item has an error and no audio.

    ``audio_path``, ``midi_path`` and ``codes_path`` are keys of the run directory, or ``key#member`` for what is
    in a tar or Parquet object; null is what the layout does not keep. Levels are of the audio as it is, before it
    was encoded: ``peak`` is the largest absolute sample, ``rms_dbfs`` is null for silence, ``clipped_samples``
    counts samples beyond full scale. ``gain_db`` was applied to what the model gave; where that did not bring it to
    the level asked for, ``gain_reason`` says why. ``equalizer_db`` are the gains of bands even in mel by which
    the model's audio was brought to its prompt's spectrum; null where it was not. ``seed`` is the one used, whether
    the manifest gave it or not. ``note_report`` counts the decisions about notes that are not rendered as they stand in
    the MIDI file. ``render_seconds`` is the item's share, by length, of the time its shard took.

    ``verdict`` is ``poor`` where a threshold of the run's settings is broken; ``faults`` names those that are. Both
    come from columns beside them, so that other thresholds can be set later: ``notes_found``, the share of notes
    that are heard to begin; ``attacks_explained``, the share of what is struck that belongs to a note;
    ``codes_match``, how well the model's codes tell what is struck, of models with a probe for it;
    ``silence_s``, the longest silence while a note should sound; ``joint_prominence``, how much more the spectrum
    changes at the worst joint of two segments than elsewhere; ``length_error`` in samples; ``rms_dbfs``; and
    ``clipped_samples`` of ``samples``. They are of the audio as it is written, but for the notes, silences and
    joints, which are of the model's, before it was resampled and levelled. ``quality_score``, 0 to 1, is the harmonic
    mean of ``notes_found`` and ``attacks_explained``. A measure that is not defined is null, never NaN: the joints'
    where there are none or onsets hide them. ``segments_retried`` counts the ``segments`` that were rendered again.
    """

    item_id: str
    shard: Annotated[int, pa.int32()]
    status: Status
    error_type: str | None = None
    error_message: str | None = None
    audio_path: str | None = None
    audio_bytes: int | None = None
    audio_sha256: str | None = None
    midi_path: str | None = None
    codes_path: str | None = None
    sample_rate: Annotated[int | None, pa.int32()] = None
    samples: int | None = None
    duration_s: float | None = None
    peak: float | None = None
    rms_dbfs: float | None = None
    clipped_samples: int | None = None
    gain_db: float | None = None
    gain_reason: str | None = None
    equalizer_db: Annotated[Sequence[float] | None, pa.list_(pa.float32())] = None
    seed: int
    prompt_id: str | None = None
    model_id: str
    segments: Annotated[int | None, pa.int32()] = None
    segments_retried: Annotated[int | None, pa.int32()] = None
    verdict: Verdict | None = None
    faults: Annotated[Sequence[str] | None, pa.list_(pa.string())] = None
    quality_score: float | None = None
    notes_found: float | None = None
    attacks_explained: float | None = None
    codes_match: float | None = None
    silence_s: float | None = None
    joint_prominence: float | None = None
    length_error: int | None = None
    note_count: int | None = field(init=False)
    note_report: Annotated[Mapping[str, int] | None, pa.map_(pa.string(), pa.int64())] = None
    notes: Annotated[pa.StructArray | None, pa.list_(NOTE_TYPE)] = None
    render_seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "note_count", None if self.notes is None else len(self.notes))


def _column_type(name: str, hint: Any) -> "pa.Field[Any]":
    """The column of a result's field: its type's, if the field does not say another; null where it may be None."""
    hint, *given = get_args(hint) if get_origin(hint) is Annotated else [hint]
    nullable = NoneType in get_args(hint)
    kind = get_args(hint)[0] if nullable else hint
    kind = str if get_origin(kind) is Literal else kind
    return pa.field(name, given[0] if given else _COLUMN_TYPES[kind], nullable)


_COLUMN_TYPES: "dict[Any, pa.DataType]" = {str: pa.string(), int: pa.int64(), float: pa.float64()}

RESULT_SCHEMA = pa.schema(
    [_column_type(name, hint) for name, hint in get_type_hints(ItemResult, include_extras=True).items()]
)


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
    columns = [_column(results, column) for column in RESULT_SCHEMA]
    table = pa.Table.from_arrays(columns, schema=RESULT_SCHEMA)
    for own in manifest_rows.schema:
        if own.name not in RESULT_SCHEMA.names:
            table = table.append_column(own, manifest_rows.column(own.name))
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
