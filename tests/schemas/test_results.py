from dataclasses import fields

import numpy as np
import pyarrow as pa

from schemas.results import RESULT_SCHEMA, ItemResult, note_array, results_table


def result(item_id: str, notes: int | None) -> ItemResult:
    if notes is None:
        return ItemResult(item_id=item_id, shard=1, status="failed", seed=1, model_id="m", error_type="MidiError")
    onset = np.arange(notes, dtype=np.float64)
    return ItemResult(
        item_id=item_id,
        shard=1,
        status="ok",
        seed=1,
        model_id="m",
        note_report={"drums": 2, "duplicates": 0},
        notes=note_array(onset, onset + 0.5, np.full(notes, 60), np.full(notes, 127)),
    )


def test_every_column_is_a_field_of_a_result() -> None:
    assert [field.name for field in fields(ItemResult)] == RESULT_SCHEMA.names


def test_notes_stay_with_their_items() -> None:
    results = [result("a", 2), result("b", None), result("c", 0), result("d", 1)]
    table = results_table(results, pa.table({"item_id": ["a", "b", "c", "d"]}))
    assert table.schema.equals(RESULT_SCHEMA)
    notes = table.column("notes").to_pylist()
    assert [None if n is None else [note["onset"] for note in n] for n in notes] == [[0.0, 1.0], None, [], [0.0]]
    assert notes[3] is not None and notes[3][0] == {"onset": 0.0, "offset": 0.5, "pitch": 60, "velocity": 127}
    assert table.column("note_count").to_pylist() == [2, None, 0, 1]
    assert table.column("note_report").to_pylist()[:2] == [[("drums", 2), ("duplicates", 0)], None]


def test_the_manifests_columns_follow_unchanged() -> None:
    nested = pa.array([[{"k": 1}], None], pa.list_(pa.struct([("k", pa.int8())])))
    rows = pa.table(
        {
            "item_id": ["a", "b"],
            "midi": ["a.mid", "b.mid"],
            "seed": pa.array([1, None], pa.int32()),
            "tags": nested,
            "composer": pa.array(["x", "x"]).dictionary_encode(),
            "when": pa.array([1, 2], pa.timestamp("ns", "UTC")),
        }
    )
    table = results_table([result("a", 1), result("b", None)], rows)
    assert table.column_names == [*RESULT_SCHEMA.names, "midi", "tags", "composer", "when"]
    for name in ("midi", "tags", "composer", "when"):
        assert table.column(name).equals(rows.column(name))
    assert table.column("seed").to_pylist() == [1, 1]
