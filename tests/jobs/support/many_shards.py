"""Runs of very many finished shards, of which only run.json and the markers are there."""

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RUN_KEY, RunDirectory, marker_key
from jobs.storage import Storage
from schemas.marker import Marker, QualityCount, StoredObject
from schemas.run import Shard
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend

ITEMS = 10
THREADS = 4
Put = Callable[[str, bytes], object]


def synthetic_marker(shard: int, objects: int = 0) -> Marker:
    """A marker of ten items, of 10 s each, that names so many objects."""
    return Marker(
        shard=shard,
        attempt=f"{shard:032x}",
        items=ITEMS,
        failures={},
        audio_seconds=100.0,
        render_seconds=10.0,
        metadata=StoredObject(f"metadata/{shard:05d}-{shard:032x}.parquet", 12_345, f"{shard:064x}"),
        objects=tuple(
            StoredObject(f"audio/item-{shard:06d}-{number:03d}.flac", 54_321, f"{number:064x}")
            for number in range(objects)
        ),
        occupancy=0.5,
        batch_size=16,
        quality=QualityCount(ITEMS, 0, {}),
    )


def make_shards(folder: Path, storage: Storage, shards: int, objects: int = 0, put: Put | None = None) -> RunDirectory:
    """A run of which all shards are finished, in a storage; ``put`` writes markers some other way."""
    manifest = make_corpus(folder, ["a"])
    job = prepare(RenderOptions(manifest=str(manifest), actors=1, device="cpu"), DummyBackend())
    plan = tuple(Shard(index, index * ITEMS, ITEMS) for index in range(shards))
    storage.write(RUN_KEY, replace(job.run, shards=plan).to_json())
    write = put or storage.write
    with ThreadPoolExecutor(THREADS) as pool:
        for written in _portions(range(shards)):
            list(pool.map(lambda shard: write(marker_key(shard), synthetic_marker(shard, objects).to_json()), written))
    return RunDirectory(storage)


def past_s3(filer: str, location: str) -> Put:
    """Writes beside the S3 server's protocol, through its file server: many times as fast."""
    import threading

    own = threading.local()

    def put(key: str, data: bytes) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(filer)
        own.connection.request("PUT", f"/buckets/{location.removeprefix('s3://')}/{key}", data)
        answer = own.connection.getresponse()
        answer.read()
        assert answer.status in (200, 201), answer.status

    return put


def _portions(shards: range) -> Iterator[list[int]]:
    rest = iter(shards)
    while portion := list(islice(rest, 1000)):
        yield portion
