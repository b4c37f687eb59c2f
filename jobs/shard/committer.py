"""How what a worker has rendered becomes final: a part of a shard is stored, a whole one gets its marker."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyarrow import feather

from jobs.errors import StorageError
from jobs.output.writers import store_rows
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.run_names import PARTS_FOLDER
from jobs.shard.open_shard import OpenShard
from jobs.shard.task import Part
from jobs.storage import Storage
from schemas.marker import Marker, StoredObject, count_failures, count_quality
from schemas.results import ItemResult, results_table


class Committer:
    """Stores results: data first, and a marker last of all."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._directory = RunDirectory(storage)

    def store_part(self, shard: OpenShard, results: Sequence[ItemResult], occupancy: float | None) -> Part:
        """Store a part of a shard, which is garbage as long as nobody puts it together with the others."""
        table = results_table(results, shard.rows)
        objects = shard.writer.finish(table, is_part=True)
        rows = io.BytesIO()
        feather.write_feather(table, rows, compression="zstd")  # Parquet would change types a little.
        self._storage.write(_rows_key(shard.name), rows.getvalue())
        return Part(
            name=shard.name,
            rows=tuple(shard.places),
            failed=sum(result.status == "failed" for result in results),
            audio_seconds=sum(result.duration_s or 0.0 for result in results),
            render_seconds=_render_seconds(results),
            occupancy=occupancy,
            objects=objects,
        )

    def commit(
        self, shard: OpenShard, results: Sequence[ItemResult], occupancy: float | None, batch_size: int | None
    ) -> Marker:
        """Make a shard final: what was rendered now, what others have as parts, what an earlier generation has."""
        task, render_seconds = shard.task, _render_seconds(results)
        if task.parts:
            table = self._put_together(shard)
            render_seconds = sum(part.render_seconds for part in task.parts)
            occupancy = _mean_occupancy(task.parts)
        else:
            table = results_table(results, shard.rows)
        objects = shard.writer.finish(table)
        if task.generation:
            earlier = self._directory.marker(task.shard.index, task.generation - 1)
            table = _with_rows(self._directory.result_rows(earlier), table, shard.places)
            objects = (*earlier.objects, *objects)
            render_seconds += earlier.render_seconds

        marker = _marker(shard, table, store_rows(self._storage, shard.name, table), objects)
        marker = replace(marker, render_seconds=render_seconds, occupancy=occupancy, batch_size=batch_size)
        held = self._directory.commit(marker)
        self._forget(task.parts)
        return held

    def _put_together(self, shard: OpenShard) -> pa.Table:
        """The rows of all parts in the manifest's order; their data is the shard's writer's from now on."""
        parts = shard.task.parts
        stored = [feather.read_table(io.BytesIO(self._storage.read(_rows_key(part.name)))) for part in parts]
        tables = [shard.writer.adopt(rows, part.objects) for rows, part in zip(stored, parts, strict=True)]
        places = [place for part in parts for place in part.rows]
        return pa.concat_tables(tables, promote_options="default").take(np.argsort(places)).combine_chunks()

    def _forget(self, parts: Sequence[Part]) -> None:
        """Remove what the parts were stored in; what stays is garbage, and wrong for nobody."""
        with suppress(StorageError):
            for part in parts:
                bundles = [stored.key for stored in part.objects if stored.key.startswith(f"{PARTS_FOLDER}/")]
                for key in (_rows_key(part.name), *bundles):
                    self._storage.delete(key)


def _marker(shard: OpenShard, table: pa.Table, metadata: StoredObject, objects: tuple[StoredObject, ...]) -> Marker:
    rows = table.select(["status", "error_type", "item_id", "verdict", "faults"]).to_pylist()
    failed = [(row["error_type"] or "", row["item_id"]) for row in rows if row["status"] == "failed"]
    return Marker(
        shard=shard.task.shard.index,
        attempt=shard.name.rpartition("-")[2],
        items=len(table),
        failures=count_failures(failed),
        audio_seconds=sum(seconds or 0.0 for seconds in table["duration_s"].to_pylist()),
        render_seconds=0.0,
        metadata=metadata,
        objects=objects,
        generation=shard.task.generation,
        quality=count_quality((row["verdict"], row["faults"]) for row in rows),
    )


def _rows_key(name: str) -> str:
    return f"{PARTS_FOLDER}/{name}.arrow"


def _render_seconds(results: Sequence[ItemResult]) -> float:
    return sum(result.render_seconds or 0.0 for result in results)


def _mean_occupancy(parts: Sequence[Part]) -> float | None:
    """By the time that each part took; None if nothing was rendered."""
    known = [(part.occupancy, part.render_seconds) for part in parts if part.occupancy is not None]
    seconds = sum(taken for _, taken in known)
    return sum(share * taken for share, taken in known) / seconds if seconds else None


def _with_rows(table: pa.Table, rows: pa.Table, places: Sequence[int]) -> pa.Table:
    """The table with other rows in some places."""
    kept = sorted(set(range(len(table))) - set(places))
    # Where nothing is kept, the type of no places must be said.
    both = pa.concat_tables([table.take(pa.array(kept, pa.int64())), rows], promote_options="default")
    return both.take(np.argsort([*kept, *places]))
