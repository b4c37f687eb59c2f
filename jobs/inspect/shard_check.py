"""Whether a finished shard is all that its marker and the manifest promise."""

import hashlib
import math
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from multiprocessing.pool import ThreadPool
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from jobs.errors import StorageError
from jobs.output.layouts import key_of, stored_audio
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import Storage
from schemas.checks import shown
from schemas.marker import Marker, StoredObject, count_failures
from schemas.run import Shard

THREADS = 8
BLOCK_FRAMES = 65_536
CHECKED_COLUMNS = [
    "item_id",
    "shard",
    "status",
    "error_type",
    "audio_path",
    "audio_sha256",
    "samples",
    "sample_rate",
    "duration_s",
]

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FinishedShard:
    """A shard, its marker's key, and what the manifest says its items are: None if that is not known."""

    shard: Shard
    marker_key: str
    item_ids: Sequence[str] | None


@dataclass(frozen=True)
class ShardChecker:
    """Checks finished shards, some on threads side by side; can be sent to other processes."""

    storage: Storage
    layout: str
    quick: bool

    def check(self, shards: Sequence[FinishedShard]) -> list[str]:
        """All that is wrong with shards; JobError if one of their markers cannot be read."""
        directory = RunDirectory(self.storage)
        with ThreadPool(min(THREADS, len(shards))) as pool:
            markers = list(pool.imap(lambda shard: directory.marker_at(shard.marker_key), shards))
            keys = [stored.key for marker in markers for stored in (marker.metadata, *marker.objects)]
            sizes = self.storage.sizes(keys)
            checks = [_ShardCheck(self, shard, marker, sizes) for shard, marker in zip(shards, markers, strict=True)]
            return [problem for found in pool.imap(_ShardCheck.problems, checks) for problem in found]


@dataclass(frozen=True, eq=False)
class _ShardCheck:
    """The check of one shard. ``sizes`` are known of some objects; of others they are asked for."""

    how: ShardChecker
    of: FinishedShard
    marker: Marker
    sizes: Mapping[str, int]

    def problems(self) -> list[str]:
        marker, storage, layout = self.marker, self.how.storage, self.how.layout
        if marker.shard != self.of.shard.index:
            return [f"{self.of.marker_key} is the marker of another shard, {marker.shard}"]
        if problems := list(self._object_problems(marker.metadata, {})):
            return problems
        try:
            with storage.open(marker.metadata.key) as file:
                rows = pq.read_table(file, columns=CHECKED_COLUMNS).to_pylist()
        except (StorageError, pa.ArrowException, OSError) as error:
            return [f"{marker.metadata.key}: cannot be read: {error}"]
        problems = [f"{marker.metadata.key}: {problem}" for problem in _row_problems(self.of, marker, rows)]
        by_object: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in rows:
            if row["audio_path"] is not None:
                by_object[key_of(layout, row["audio_path"])][row["audio_path"]] = row
        for stored in marker.objects:
            problems += self._object_problems(stored, by_object.pop(stored.key, {}))
        problems += [f"{key} is not among the objects of its marker" for key in by_object]
        return problems

    def _object_problems(self, stored: StoredObject, rows: Mapping[str, Row]) -> Iterator[str]:
        """Where an object is not what its marker says, or its audio not what the ``rows`` say, by their paths."""
        key, storage = stored.key, self.how.storage
        try:
            size = self.sizes[key] if key in self.sizes else storage.size(key)
            if size is None:
                yield f"{key} is missing"
            elif size != stored.bytes:
                yield f"{key} has {size:,} bytes, its marker says {stored.bytes:,}"
            elif not self.how.quick:
                with storage.open(key) as file:
                    if _sha256(file) != stored.sha256:
                        yield f"{key} is not what was written: its SHA-256 is not the marker's"
                    elif rows:
                        yield from self._audio_problems(key, file, rows)
        except (StorageError, OSError, ValueError, tarfile.TarError, pa.ArrowException) as error:
            yield f"{key} cannot be read: {error}"

    def _audio_problems(self, key: str, file: BinaryIO, rows: Mapping[str, Row]) -> Iterator[str]:
        missing = set(rows)
        for path, audio in stored_audio(self.how.layout, key, file):
            if path in missing:
                missing.remove(path)
                yield from _audio_problems(audio, rows[path])
        for path in sorted(missing):
            yield f"{path} is missing"


def _row_problems(of: FinishedShard, marker: Marker, rows: Sequence[Row]) -> Iterator[str]:
    """Where the result rows are not those of the manifest's rows, or not what the marker counted."""
    shard = of.shard
    if len(rows) != shard.row_count:
        yield f"holds {len(rows):,} rows for {shard.row_count:,} rows of the manifest"
    if len(rows) != marker.items:
        yield f"holds {len(rows):,} rows, its marker counted {marker.items:,}"
    if strangers := sum(row["shard"] != shard.index for row in rows):
        yield f"holds {strangers:,} rows of other shards than {shard.index}"
    found = Counter(row["item_id"] for row in rows)
    expected = Counter(found.keys() if of.item_ids is None else of.item_ids)
    for item_id in expected - found:
        yield f"item {shown(item_id)} has no result"
    for item_id in found - expected:
        if item_id in expected:
            yield f"item {shown(item_id)} has {found[item_id]} results"
        else:
            yield f"item {shown(item_id)} is not among the shard's rows of the manifest"

    failed = count_failures((row["error_type"] or "", row["item_id"]) for row in rows if row["status"] != "ok")
    counts = {reason: failure.count for reason, failure in failed.items()}
    counted = {reason: failure.count for reason, failure in marker.failures.items()}
    if counts != counted:
        yield f"holds failures {counts}, its marker counted {counted}"
    seconds = sum(row["duration_s"] or 0.0 for row in rows)
    if not math.isclose(seconds, marker.audio_seconds, rel_tol=1e-6, abs_tol=1e-3):
        yield f"holds {seconds:.3f} s of audio, its marker counted {marker.audio_seconds:.3f} s"


def _audio_problems(file: BinaryIO, row: Row) -> Iterator[str]:
    """Where audio is not what its result row says."""
    name = f"{row['audio_path']} (item {shown(row['item_id'])})"
    if _sha256(file) != row["audio_sha256"]:
        yield f"{name} is not what its row says: its SHA-256 is another"
    try:
        with soundfile.SoundFile(file) as audio:
            rate = audio.samplerate
            samples = sum(len(block) for block in audio.blocks(BLOCK_FRAMES, dtype="float32"))
    except (soundfile.SoundFileError, OSError) as error:
        yield f"{name} cannot be decoded: {error}"
        return
    if (samples, rate) != (row["samples"], row["sample_rate"]):
        yield f"{name} has {samples} samples at {rate} Hz, its row says {row['samples']} at {row['sample_rate']} Hz"


def _sha256(file: BinaryIO) -> str:
    """The hash of a file's content; the file is then at its beginning again."""
    digest = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    file.seek(0)
    return digest
