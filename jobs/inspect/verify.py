"""``midi-valle verify``: whether all that a run's markers promise is there, whole and readable."""

import hashlib
import math
import tarfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from jobs.errors import JobError, StorageError
from jobs.inputs.inputs import Inputs
from jobs.inputs.manifest_files import ManifestFiles
from jobs.output.layouts import key_of, stored_audio
from jobs.run_directory.run_directory import RunDirectory
from schemas.checks import shown
from schemas.manifest import ITEM_ID, ManifestError
from schemas.marker import Marker, StoredObject, count_failures
from schemas.run import Run, Shard

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

Advance = Callable[[int], object]
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Work:
    """A finished shard and what the manifest says its items are: None if that is not known."""

    shard: Shard
    marker: Marker
    item_ids: Sequence[str] | None


def find_problems(
    directory: RunDirectory, inputs: Inputs, quick: bool = False, progress: Advance | None = None
) -> Iterator[str]:
    """Everything that is wrong with a run, one line each; ``progress`` is told of items as they are checked.

    Each object must have the size and the hash that its marker states, each manifest row exactly one result
    row, and the audio the stated number of samples. ``quick`` goes by sizes alone and decodes nothing. Some
    shards at a time are in memory, never the run. JobError if there is no run, or its markers cannot be read.
    """
    run = directory.begun()
    item_ids = _ItemIds(run, inputs)
    yield from item_ids.problems
    checker = _ShardChecker(directory, run.settings.layout, quick)
    missing: list[Shard] = []
    checks: deque[tuple[int, Future[list[str]]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for shard, markers in _markers_by_shard(run, directory.markers()):
            ids = item_ids.next(shard.row_count)
            if len(markers) > 1:
                yield f"shard {shard.index} has {len(markers)} markers"
            if not markers:
                missing.append(shard)
            for marker in markers:
                checks.append((shard.row_count, pool.submit(checker.check, _Work(shard, marker, ids))))
            while len(checks) >= 2 * THREADS:
                yield from _finished(checks, progress)
        while checks:
            yield from _finished(checks, progress)
    if missing:
        items = sum(shard.row_count for shard in missing)
        first = ", ".join(str(shard.index) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
        yield f"not finished: {len(missing):,} shards ({first}), so {items:,} manifest rows have no result"


def _finished(checks: deque[tuple[int, "Future[list[str]]"]], progress: Advance | None) -> list[str]:
    items, check = checks.popleft()
    problems = check.result()
    if progress is not None:
        progress(items)
    return problems


def _markers_by_shard(run: Run, markers: Iterator[Marker]) -> Iterator[tuple[Shard, list[Marker]]]:
    """Every shard of the plan with its markers: one, if it is finished."""
    following = next(markers, None)
    for shard in run.shards:
        found = []
        while following is not None and following.shard <= shard.index:
            found.append(following)
            following = next(markers, None)
        yield shard, found


class _ItemIds:
    """The manifest's item ids, as a stream."""

    def __init__(self, run: Run, inputs: Inputs) -> None:
        self.problems: list[str] = []
        self._ids: Iterator[str] | None = None
        try:
            self._files = ManifestFiles.find(run.manifest_path, inputs)
            manifest = self._files.open()
            if manifest.rows_sha256(run.items) == run.rows_sha256:
                batches = manifest.batches(ITEM_ID)
                self._ids = (str(item_id) for batch in batches for item_id in batch.column(0).to_pylist())
                return
            reason = f"{run.manifest_path} is not the run's manifest any more"
        except (JobError, ManifestError) as error:
            reason = str(error)
        self.problems.append(f"result rows cannot be compared with the manifest: {reason}")

    def next(self, count: int) -> list[str] | None:
        """The following ids; None if there is no manifest to take them from."""
        return None if self._ids is None else list(islice(self._ids, count))


class _ShardChecker:
    """Checks one finished shard after the other; used by several threads."""

    def __init__(self, directory: RunDirectory, layout: str, quick: bool) -> None:
        self._storage, self._layout, self._quick = directory.storage, layout, quick

    def check(self, work: _Work) -> list[str]:
        """All that is wrong with a shard."""
        metadata = work.marker.metadata
        if problems := list(self._object_problems(metadata, {})):
            return problems
        try:
            with self._storage.open(metadata.key) as file:
                rows = pq.read_table(file, columns=CHECKED_COLUMNS).to_pylist()
        except (StorageError, pa.ArrowException, OSError) as error:
            return [f"{metadata.key}: cannot be read: {error}"]
        problems = [f"{metadata.key}: {problem}" for problem in _row_problems(work, rows)]
        by_object: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in rows:
            if row["audio_path"] is not None:
                by_object[key_of(self._layout, row["audio_path"])][row["audio_path"]] = row
        for stored in work.marker.objects:
            problems += self._object_problems(stored, by_object.pop(stored.key, {}))
        problems += [f"{key} is not among the objects of its marker" for key in by_object]
        return problems

    def _object_problems(self, stored: StoredObject, rows: Mapping[str, Row]) -> Iterator[str]:
        """Where an object is not what its marker says, or its audio not what the ``rows`` say, by their paths."""
        key = stored.key
        try:
            size = self._storage.size(key)
            if size is None:
                yield f"{key} is missing"
            elif size != stored.bytes:
                yield f"{key} has {size:,} bytes, its marker says {stored.bytes:,}"
            elif not self._quick:
                with self._storage.open(key) as file:
                    if _sha256(file) != stored.sha256:
                        yield f"{key} is not what was written: its SHA-256 is not the marker's"
                    elif rows:
                        yield from self._audio_problems(key, file, rows)
        except (StorageError, OSError, ValueError, tarfile.TarError, pa.ArrowException) as error:
            yield f"{key} cannot be read: {error}"

    def _audio_problems(self, key: str, file: BinaryIO, rows: Mapping[str, Row]) -> Iterator[str]:
        missing = set(rows)
        for path, audio in stored_audio(self._layout, key, file):
            if path in missing:
                missing.remove(path)
                yield from _audio_problems(audio, rows[path])
        for path in sorted(missing):
            yield f"{path} is missing"


def _row_problems(work: _Work, rows: Sequence[Row]) -> Iterator[str]:
    """Where the result rows are not those of the manifest's rows, or not what the marker counted."""
    marker, shard = work.marker, work.shard
    if len(rows) != shard.row_count:
        yield f"holds {len(rows):,} rows for {shard.row_count:,} rows of the manifest"
    if len(rows) != marker.items:
        yield f"holds {len(rows):,} rows, its marker counted {marker.items:,}"
    if strangers := sum(row["shard"] != shard.index for row in rows):
        yield f"holds {strangers:,} rows of other shards than {shard.index}"
    found = Counter(row["item_id"] for row in rows)
    expected = Counter(found.keys() if work.item_ids is None else work.item_ids)
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
