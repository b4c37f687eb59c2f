"""Runs of very many finished shards, of which only what is looked at is there."""

import http.client
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.output.writers import stored_object
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run_directory.run_directory import RUN_KEY, RunDirectory, marker_key
from jobs.storage import Storage
from schemas.marker import Marker, QualityCount, StoredObject
from schemas.run import Shard
from tests.jobs.overhead import make_manifest
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend

ITEMS = 10
SHARD_ITEMS = 100
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


def make_items(folder: Path, storage: Storage, items: int, put: Put) -> None:
    """A run of layout files that verify --quick finds clean: rows and markers are right, audio and MIDI are not."""
    manifest = make_manifest(folder, items)
    options = RenderOptions(manifest=str(manifest), actors=1, device="cpu", shard_items=SHARD_ITEMS)
    run = prepare(options, DummyBackend()).run
    storage.write(RUN_KEY, run.to_json())
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda shard: _put_items(shard, put), run.shards))


def _put_items(shard: Shard, put: Put) -> None:
    ids = [f"item-{row:07d}" for row in range(shard.first_row, shard.first_row + shard.row_count)]
    keys = [key for item_id in ids for key in (f"audio/{item_id}.flac", f"midi/{item_id}.mid")]
    rows = [
        {"item_id": item_id, "shard": shard.index, "status": "ok", "error_type": None, "samples": 80_000}
        | {"audio_path": f"audio/{item_id}.flac", "audio_sha256": f"{0:064x}", "sample_rate": 8000, "duration_s": 10.0}
        for item_id in ids
    ]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), data)
    marker = replace(
        synthetic_marker(shard.index),
        items=len(ids),
        audio_seconds=10.0 * len(ids),
        objects=tuple(StoredObject(key, len(key), f"{0:064x}") for key in keys),
    )
    marker = replace(marker, metadata=stored_object(marker.metadata.key, data.getvalue()))
    for key in keys:
        put(key, key.encode())
    put(marker.metadata.key, data.getvalue())
    put(marker_key(shard.index), marker.to_json())


def past_s3(filer: str, location: str) -> Put:
    """Writes beside the S3 server's protocol, through its file server: many times as fast."""
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
