"""What is known of rows before they are read, and what comes first for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import StorageError
from jobs.inputs.inputs import Inputs
from jobs.run.plan import plan_shards
from jobs.run.row_weights import RowWeights
from jobs.run.weigh_rows import weigh_rows
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from schemas.manifest import Manifest
from schemas.run import Shard


def weigh(folder: Path, **columns: Any) -> list[float] | None:
    count = len(next(iter(columns.values())))
    table = {"item_id": [str(row) for row in range(count)], "prompt": ["p"] * count}
    pq.write_table(pa.table(table | {"midi": ["small.mid"] * count} | columns), folder / "manifest.parquet")
    found = weigh_rows(Manifest.open(folder / "manifest.parquet"), str(folder), Inputs((str(folder),)))
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"midi": ["small.mid", "large.mid", "small.mid"]}, [10, 1000, 10]),
        ({"midi": ["small.mid", "missing.mid", "large.mid"]}, [10, 505, 1000]),
        ({"midi": ["missing.mid"] * 2}, None),
        ({"end_s": [5.0, 9.0], "start_s": [4.0, None]}, [1, 9]),
        ({"end_s": [5.0, 9.0], "tempo_scale": [2.0, None]}, [2.5, 9]),
        ({"end_s": [5.0, None], "midi": ["large.mid", "small.mid"]}, [1000, 10]),
        ({"duration": [3.5, None, -1.0], "midi": ["large.mid"] * 3}, [3.5, 0, 0]),
        ({"duration": ["long", "short"], "midi": ["large.mid", "small.mid"]}, [1000, 10]),
    ],
)
def test_rows_weigh_what_a_column_or_their_file_says(
    tmp_path: Path, columns: dict[str, Any], expected: list[float] | None
) -> None:
    (tmp_path / "small.mid").write_bytes(bytes(10))
    (tmp_path / "large.mid").write_bytes(bytes(1000))
    assert weigh(tmp_path, **columns) == expected


@pytest.mark.parametrize("may_list", [True, False])
def test_on_s3_the_sizes_are_those_of_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_list: bool
) -> None:
    def opened(uri: str, access: object) -> LocalStorage:
        if not may_list:
            raise StorageError("AccessDenied")
        assert uri == "s3://bucket/corpus"
        return LocalStorage(tmp_path)

    (tmp_path / "midi").mkdir()
    (tmp_path / "midi/a.mid").write_bytes(bytes(7))
    weigh(tmp_path, midi=["midi/a.mid", "s3://other/b.mid"])
    monkeypatch.setattr("jobs.run.weigh_rows.open_storage", opened)
    found = weigh_rows(Manifest.open(tmp_path / "manifest.parquet"), "s3://bucket/corpus", Inputs())
    assert (None if found is None else found.tolist()) == ([7, 7] if may_list else None)


def test_the_longest_shard_comes_first_and_in_it_the_longest_rows() -> None:
    weights = RowWeights(np.array([1.0, 1, 1, 1, 9, 1, 8, 1, 2, 1, 1, 2.0]))
    tasks = weights.longest_first([Shard(0, 0, 4), Shard(1, 4, 4), Shard(2, 8, 4)])
    assert tasks == [Task(Shard(1, 4, 4), rows=(0, 2, 1, 3)), Task(Shard(2, 8, 4)), Task(Shard(0, 0, 4))]
    assert (weights.of(tasks[0]) / weights.of(tasks[2])[0]).tolist() == pytest.approx([9, 8, 1, 1])


def test_where_nothing_is_known_shards_are_in_their_order() -> None:
    shards = plan_shards(10, 2, 4)
    assert RowWeights().longest_first(shards) == [Task(shard) for shard in shards]
    assert RowWeights(np.zeros(10)).of(Task(shards[0])).tolist() == [1.0] * 4
