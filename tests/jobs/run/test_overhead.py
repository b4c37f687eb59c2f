"""What a run asks of its storage, by counting: figures in seconds are what ``python -m tests.jobs.overhead`` is for."""

import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from jobs.run.options import LayoutName, RenderOptions
from jobs.run.preflight import prepare
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from tests.jobs.overhead import make_manifest
from tests.jobs.support.noise import NoiseBackend


class CountingStorage(LocalStorage):
    """Counts what it is asked for, by folder."""

    asked: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def _count(self, what: str, key: str) -> None:
        with self.lock:
            self.asked[f"{what} {key.partition('/')[0]}"] += 1

    def create(self, key: str, data: bytes) -> bool:
        self._count("create", key)
        return super().create(key, data)

    def read(self, key: str) -> bytes:
        self._count("read", key)
        return super().read(key)

    def write_file(self, key: str, file: object) -> None:
        self._count("write", key)
        super().write_file(key, file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layout", "data"),
    [
        ("files", {"create audio": 60, "create midi": 60}),
        ("webdataset", {"write shards": 3}),
        ("parquet", {"write shards": 3}),
        ("none", {}),
    ],
)
def test_no_request_is_made_that_could_be_spared(
    tmp_path: Path, out: Path, layout: LayoutName, data: dict[str, int]
) -> None:

    manifest = make_manifest(tmp_path, 60)
    options = RenderOptions(manifest=str(manifest), actors=1, shard_items=20, device="cpu", layout=layout)
    job = prepare(options, NoiseBackend())
    CountingStorage.asked = Counter()
    renderer = ShardRenderer(ShardWork(job.run, str(manifest), None, CountingStorage(out), job.backend, job.inputs))
    for shard in job.run.shards:
        assert renderer.render(Task(shard)).failed == 0
    assert dict(CountingStorage.asked) == {"write metadata": 3, "create _state": 3, **data}
