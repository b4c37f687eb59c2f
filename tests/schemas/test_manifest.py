import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.manifest import COLUMNS, Manifest, ManifestError, ManifestRow


def write(folder: Path, row_group_size: int | None = None, **columns: Any) -> Path:
    path = folder / "manifest.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def refused(folder: Path, **columns: Any) -> str:
    """Why a two-row manifest with these columns, beside good ones, is refused."""
    table = {"item_id": ["a", "b"], "midi": ["a.mid", "b.mid"], "prompt": ["p", "p"]} | columns
    path = write(folder, **{name: values for name, values in table.items() if values is not None})
    with pytest.raises(ManifestError) as error:
        Manifest.open(path).validate()
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_columns_are_the_fields_of_a_row() -> None:
    assert tuple(column.name for column in COLUMNS) == ManifestRow._fields


def test_rows_are_typed_and_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, item_id=["a", "b"], midi=["a.mid", "b.mid"], prompt=["p", "q"], seed=[-5, None])
    manifest = Manifest.open(path)
    manifest.validate()
    assert list(manifest.rows()) == [
        ManifestRow("a", "a.mid", prompt="p", seed=-5),
        ManifestRow("b", "b.mid", prompt="q"),
    ]


def test_other_types_that_lose_nothing_are_accepted(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        item_id=pa.array(["a", "b"], pa.large_string()),
        midi=pa.array(["a.mid", "a.mid"]).dictionary_encode(),
        prompt=pa.array(["p", None], pa.string_view()),
        prompt_audio=pa.array([None, "a.wav"]),
        prompt_midi=pa.array([None, "a.mid"]),
        seed=pa.array([1, 2], pa.int32()),
        start_s=pa.array([1, 2], pa.int64()),
        end_s=pa.array([1.5, 2.5], pa.float32()),
        transpose=pa.array([None, None]),
        velocity_scale=pa.array([0.5, None], pa.float16()),
    )
    manifest = Manifest.open(path)
    manifest.validate()
    first, second = manifest.rows()
    assert first == ManifestRow("a", "a.mid", "p", seed=1, start_s=1.0, end_s=1.5, velocity_scale=0.5)
    assert second.prompt_audio == "a.wav" and isinstance(second.start_s, float)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"item_id": None}, "column 'item_id': is missing"),
        ({"midi": None}, "column 'midi': is missing"),
        ({"item_id": [1, 2]}, "column 'item_id': has type int64, must be string"),
        ({"seed": [1.0, 2.5]}, "column 'seed': is not a whole number in 1 row(s): row 1 2.5"),
        ({"seed": [2.0**60, 1.0]}, "column 'seed': is so large that floating point no longer holds every integer"),
        ({"seed": pa.array([2.0**25, 1.0], pa.float32())}, "no longer holds every integer (with pandas: .astype("),
        ({"transpose": [math.inf, 0.5]}, "column 'transpose': is not a whole number in 2 row(s): row 0 inf; row 1 0.5"),
        ({"transpose": [88.0, None]}, "column 'transpose': is beyond 87 semitones in 1 row(s): row 0 88"),
        ({"seed": pa.array([1, 2], pa.uint64())}, "column 'seed': has type uint64, must be int64"),
        ({"start_s": ["0", "1"]}, "column 'start_s': has type string, must be double"),
        ({"notes": [1, 2]}, "column 'notes': would clash"),
        ({"item_id": ["a", None]}, "column 'item_id': is null in 1 row(s): row 1 None"),
        ({"item_id": ["a", ""]}, "(empty) in 1 row(s): row 1 ''"),
        ({"item_id": ["../x", "b"]}, "row 0 '../x'"),
        ({"item_id": ["a\x1b[2J", "b"]}, r"row 0 'a\x1b[2J'"),
        ({"item_id": ["a", "x" * 300]}, "longer than 200 bytes"),
        ({"item_id": ["Same", "same"]}, "is not unique (case is ignored) in 1 row(s): row 1 'same' as row 0"),
        ({"midi": ["a.mid", None]}, "column 'midi': is null in 1 row(s): row 1"),
        ({"midi": ["", "b.mid"]}, "column 'midi': is empty in 1 row(s): row 0"),
        ({"midi": ["a\0", "b.mid"]}, "column 'midi': holds a NUL character"),
        ({"prompt": ["p", None]}, "column 'prompt': is missing: give a prompt"),
        ({"prompt": None}, "column 'prompt': is missing: give a prompt"),
        ({"prompt_audio": ["a.wav", None], "prompt_midi": ["a.mid", None]}, "'prompt': is given beside"),
        ({"prompt": None, "prompt_audio": ["a.wav", "b.wav"]}, "'prompt_midi': is missing beside"),
        ({"start_s": [0.0, -1.0]}, "column 'start_s': is not 0 or more seconds in 1 row(s): row 1 -1.0"),
        ({"start_s": [0.0, float("nan")]}, "column 'start_s'"),
        ({"start_s": [2.0, 2.0], "end_s": [2.0, 3.0]}, "'end_s': is not after start_s in 1 row(s): row 0 2.0"),
        ({"end_s": [1.0, float("inf")]}, "column 'end_s'"),
        ({"transpose": [0, 88]}, "column 'transpose': is beyond 87 semitones in 1 row(s): row 1 88"),
        ({"velocity_scale": [1.0, 0.0]}, "column 'velocity_scale': is not a number above 0"),
    ],
)
def test_a_wrong_manifest_is_refused_with_column_and_rows(
    tmp_path: Path, columns: dict[str, Any], expected: str
) -> None:
    assert expected in refused(tmp_path, **columns)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_whole_numbers_with_gaps_are_integers_however_pandas_stores_them(tmp_path: Path, kind: pa.DataType) -> None:
    seeds, gaps = pa.array([7.0, None, -3.0], kind), pa.array([12.0, math.nan, 0.0], kind)
    path = write(tmp_path, item_id=["a", "b", "c"], midi=["m"] * 3, prompt=["p"] * 3, seed=seeds, transpose=gaps)
    manifest = Manifest.open(path)
    manifest.validate()
    rows = list(manifest.rows())
    assert [(row.seed, row.transpose) for row in rows] == [(7, 12), (None, None), (-3, 0)]
    assert all(type(row.seed) is int for row in rows if row.seed is not None)
    output = manifest.rows_sha256(3)
    columns: dict[str, Any] = {"item_id": ["a", "b", "c"], "midi": ["m"] * 3, "prompt": ["p"] * 3}
    integers = write(tmp_path, **columns, seed=[7, None, -3], transpose=[12, None, 0])
    assert Manifest.open(integers).rows_sha256(3) == output


@pytest.mark.parametrize(
    ("ids", "separator", "expected"),
    [
        (["chopin/op10-1", "b"], None, "| ? *; --id-separator can stand for /) in 1 row(s)"),
        (["chopin/op10-1", "chopin/op10-2"], "_", None),
        (["chopin/op10-1", "chopin_op10-1"], "_", "is not unique"),
        (["chopin/op10-1", "chopin_op10-1"], "/", None),
        (["a/b", "A/B"], "/", "is not unique"),
        (["/b", "a/"], "", None),
        (["a/../b", "b"], "/", "begins or ends with a dot"),
        (["../b", "/b"], "/", "begins or ends with a dot"),
        (["a", "/b"], "/", "(empty)"),
        (["a", "b/"], "/", "(empty)"),
        (["a", "b//c"], "/", "(empty)"),
        (["a", "nul/c"], "/", "reserves"),
        (["a", "b\\..\\c"], "/", "holds one of"),
        (["a", "x" * 150 + "/" + "y" * 150], "/", "longer than 200 bytes"),
    ],
)
def test_ids_may_hold_slashes_where_something_stands_for_them(
    tmp_path: Path, ids: list[str], separator: str | None, expected: str | None
) -> None:
    manifest = Manifest.open(write(tmp_path, item_id=ids, midi=["m", "m"], prompt=["p", "p"]))
    if expected is None:
        manifest.validate(separator)
        return
    with pytest.raises(ManifestError) as error:
        manifest.validate(separator)
    assert expected in str(error.value)


def test_every_problem_is_reported_at_once_with_the_first_rows_of_each(tmp_path: Path) -> None:
    count = 100
    path = write(
        tmp_path,
        item_id=[f"../{i}" for i in range(count)],
        midi=["x.mid"] * count,
        prompt=["p"] * count,
        end_s=[0.0] * count,
    )
    with pytest.raises(ManifestError) as error:
        Manifest.open(path).validate()
    assert len(error.value.problems) == 2
    assert "in 100 row(s): row 0 '../0'; row 1 '../1'" in str(error.value)
    assert "row 5" not in str(error.value)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 4, names=["item_id", "midi", "prompt", "midi"])
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="'midi': is there more than once"):
        Manifest.open(tmp_path / "m.parquet")


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    empty = pa.array([], pa.string())
    with pytest.raises(ManifestError, match="has no rows"):
        Manifest.open(write(tmp_path, item_id=empty, midi=empty, prompt=empty))


def test_what_is_not_a_parquet_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "manifest.csv"
    text.write_text("item_id,midi\na,a.mid\n")
    cut = write(tmp_path, item_id=["a"] * 99, midi=["a"] * 99, prompt=["p"] * 99)
    cut.write_bytes(cut.read_bytes()[:-20])
    for path, expected in (
        (text, "cannot be read as Parquet"),
        (cut, "cannot be read as Parquet"),
        (tmp_path / "none.parquet", "there is no such file"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(ManifestError, match=expected):
            Manifest.open(path)


def test_a_manifest_with_damaged_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, item_id=[f"item-{i}" for i in range(500)], midi=["x.mid"] * 500, prompt=["p"] * 500)
    data = bytearray(path.read_bytes())
    data[4:300] = bytes(296)
    path.write_bytes(data)
    with pytest.raises(ManifestError, match="cannot be read as Parquet"):
        Manifest.open(path).validate()


@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (5, 9), (49, 1), (0, 50), (13, 2)])
def test_a_slice_is_the_rows_asked_for_with_all_their_columns(
    tmp_path: Path, row_group_size: int, first: int, count: int
) -> None:
    names = [f"i{i}" for i in range(50)]
    tags = [{"composer": f"c{i}", "years": [i, i + 1]} for i in range(50)]
    path = write(tmp_path, row_group_size, item_id=names, midi=names, prompt=["p"] * 50, tags=tags)
    part = Manifest.open(path).slice(first, count)
    assert [row.item_id for row in part.rows] == names[first : first + count]
    assert part.table.equals(pq.read_table(path).slice(first, count))


def test_a_slice_is_right_beyond_the_first_batch_of_a_large_row_group(tmp_path: Path) -> None:
    names = [f"i{i}" for i in range(40_000)]
    path = write(tmp_path, item_id=names, midi=names, prompt=["p"] * len(names))
    part = Manifest.open(path).slice(16_380, 20)
    assert [row.item_id for row in part.rows] == names[16_380:16_400]
    assert part.table.column("midi").to_pylist() == names[16_380:16_400]
