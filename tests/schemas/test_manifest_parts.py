"""Manifests as CSV, as JSON lines and in several files: the same rows, the same checks."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.manifest import Manifest, ManifestError, ManifestRow
from schemas.manifest_parts import open_manifest

ROWS: list[dict[str, Any]] = [
    {"item_id": "001", "midi": "a, b.mid", "prompt": "p", "seed": 7, "start_s": 1.5, "tag": "007"},
    {"item_id": "2020-01-01", "midi": 'quoted "é".mid', "prompt": "nan", "seed": None, "start_s": None, "tag": None},
    {"item_id": "NA", "midi": "c.mid", "prompt": "q", "seed": -(2**60), "start_s": 2, "tag": "1e5"},
]
ROWS[1]["prompt"] = "true"


def as_csv(value: Any) -> str:
    return "" if value is None else '"' + str(value).replace('"', '""') + '"' if isinstance(value, str) else str(value)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]
    if kind == "csv":
        lines = [",".join(ROWS[0]), *(",".join(as_csv(row[name]) for name in ROWS[0]) for row in rows)]
    text = "\n".join(lines).encode() + b"\n"
    path.write_bytes(gzip.compress(text) if path.name.endswith(".gz") else text)
    return path


def content(manifest: Manifest) -> tuple[list[ManifestRow], list[Any], str]:
    manifest.validate()
    count = manifest.row_count
    return list(manifest.rows()), manifest.slice(0, count).table["tag"].to_pylist(), manifest.rows_sha256(count)


@pytest.mark.parametrize("name", ["m.csv", "m.csv.gz", "m.jsonl", "m.jsonl.gz", "m.ndjson", "M.CSV"])
def test_a_text_manifest_says_what_the_same_parquet_file_says(tmp_path: Path, name: str) -> None:
    parquet = content(Manifest.open(write(tmp_path / "m.parquet", ROWS)))
    assert content(open_manifest([write(tmp_path / name.lower(), ROWS).rename(tmp_path / name)], name)) == parquet
    assert parquet[0][0].item_id == "001" and parquet[1] == ["007", None, "1e5"]


def test_several_files_are_their_rows_one_after_the_other(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "item_id": f"i{i}", "seed": i} for i in range(7)]
    whole = content(Manifest.open(write(tmp_path / "m.parquet", rows)))
    names = ["1.parquet", "2.csv", "3.jsonl"]
    parts = [write(tmp_path / name, rows[at:to]) for name, at, to in zip(names, (0, 3, 5), (3, 5, 7), strict=True)]
    manifest = open_manifest(parts, "all")
    assert content(manifest) == whole
    assert [row.item_id for row in manifest.slice(2, 4).rows] == ["i2", "i3", "i4", "i5"]


def test_a_column_that_some_files_lack_is_null_in_theirs(tmp_path: Path) -> None:
    for name, row in (("1.parquet", {"extra": 1}), ("2.parquet", {"seed": 2.0})):
        pq.write_table(pa.Table.from_pylist([{"item_id": name, "midi": "m", "prompt": "p", **row}]), tmp_path / name)
    manifest = open_manifest(sorted(tmp_path.iterdir()), "all")
    manifest.validate()
    assert [row.seed for row in manifest.rows()] == [None, 2]
    assert manifest.slice(0, 2).table["extra"].to_pylist() == [1, None]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m.csv", "item_id,midi,prompt\na,b\n", "cannot be read as CSV"),
        ("m.csv", "item_id;midi;prompt\na;b;c\n", "column 'midi': is missing"),
        ("m.csv", "item_id,midi,prompt,start_s\na,b,p,soon\n", "column 'start_s': has type string, must be double"),
        ("m.csv", "item_id,midi,prompt,seed\na,b,p,1.5\n", "column 'seed': is not a whole number in 1 row(s)"),
        ("m.csv", "item_id,midi,prompt\na,m,p\na,m,p\n", "is not unique"),
        ("m.csv", "item_id,midi,prompt\n../a,m,p\n", "row 0 '../a'"),
        ("m.csv", "item_id,midi,prompt\n", "has no rows"),
        ("m.csv", "", "cannot be read as CSV"),
        ("m.csv.gz", "item_id", "cannot be read as CSV"),
        ("m.jsonl", '{"item_id": "a", "midi": "m", "prompt": "p"}\nnot json\n', "cannot be read as JSON lines"),
        ("m.jsonl", "[1]\n", "line 1 is no object"),
        ("m.jsonl", '{"item_id": 1}\n{"item_id": "a"}\n', "column 'item_id' holds values of several types"),
        ("m.jsonl", '{"item_id": 1, "midi": "m"}\n', "column 'item_id': has type int64, must be string"),
        ("m.jsonl", "", "column 'item_id': is missing"),
    ],
)
def test_a_wrong_text_manifest_is_refused_with_the_reason(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError) as error:
        open_manifest([tmp_path / name], name).validate()
    assert expected in str(error.value)


def test_files_whose_columns_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for name, extra in (("1.parquet", "text"), ("2.parquet", [1])):
        row = {"item_id": name, "midi": "m", "prompt": "p", "extra": extra}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / name)
    with pytest.raises(ManifestError, match="columns that do not go together"):
        open_manifest(sorted(tmp_path.iterdir()), "all")
