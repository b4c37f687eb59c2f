"""Tables of recordings: what they hold, and every problem named."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.recordings import RecordedPerformance, RecordingsError, read_recordings


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_rows_are_read_with_what_is_optional(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.parquet",
        midi=["a.mid", "b.mid"],
        audio=["a.wav", "b.wav"],
        condition=["x", "y"],
        split=["test", None],
    )
    assert read_recordings(path) == [
        RecordedPerformance("a.mid", "a.wav", "x", split="test"),
        RecordedPerformance("b.mid", "b.wav", "y"),
    ]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"midi": ["a"], "audio": ["b"]}, "column 'condition': is missing"),
        ({"midi": ["a"], "audio": [1], "condition": ["c"]}, "column 'audio': has type int64"),
        ({"midi": ["a", ""], "audio": ["b", "b"], "condition": ["c", "c"]}, "column 'midi': is empty in 1 row"),
        ({"midi": ["a"], "audio": [None], "condition": ["c"]}, "column 'audio'"),
        ({"midi": ["a"], "audio": ["b"], "condition": ["c"], "split": ["dev"]}, "column 'split': is none of train"),
        ({"midi": [], "audio": [], "condition": []}, "column 'midi': has type null|has no rows"),
    ],
)
def test_problems_are_named(tmp_path: Path, columns: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RecordingsError, match=complaint):
        read_recordings(write(tmp_path / "t.parquet", **columns))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingsError, match="there is no such file"):
        read_recordings(tmp_path / "none.parquet")
