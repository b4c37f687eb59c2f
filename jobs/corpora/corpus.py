"""A prepared corpus, read at random: any part of any clip in a few milliseconds.

A corpus is the directory of a run with layout ``parquet`` (``midi-valle prepare`` makes one). It is read by its
markers, so one that is still being prepared can be read as well, as far as it is finished.
"""

import hashlib
import io
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.inputs.inputs import CACHE_BYTES, Inputs, absolute
from jobs.output.parquet_archive import AUDIO, CODES
from jobs.result_notes import notes_of
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, Storage, open_storage
from renderer.audio.audio_file import FloatSamples
from renderer.midi.notes import IntArray, Notes
from schemas.marker import Marker

OPEN_SHARDS = 256
FACTS = "condition_facts"
"""The column in which a corpus' tables say, as JSON, what the condition of a clip is."""


class CorpusError(JobError):
    """A corpus that cannot be read, or that lacks what is asked of it."""


@dataclass(frozen=True)
class Clip:
    """What the index says of one clip.

    Clips of one ``condition`` sound alike (one piano in one room), so any can be the prompt of any other. A
    ``piece`` is in one ``split`` alone: train, validation or test.
    """

    item_id: str
    split: str
    condition: str
    samples: int
    piece: str = ""

    @property
    def piano(self) -> str:
        """The condition without its room: ``hall`` of ``salamander@hall`` is one."""
        return self.condition.partition("@")[0]


class Corpus:
    """The clips of a corpus and, read when they are asked for, their audio, notes and codes.

    ``conditions`` says of those of sampled pianos, by id, what they are. It can be pickled, and several threads may
    ask.
    """

    def __init__(self, uri: str, inputs: Inputs, clips: Sequence[Clip], places: Sequence[str], facts: "_Facts") -> None:
        """For :meth:`open`: ``places`` are the keys of the objects that hold the clips."""
        self.uri = uri
        self.clips = clips
        self.sample_rate = facts.sample_rate
        self.fingerprint = facts.fingerprint
        self.codec = facts.codec
        self.conditions = facts.conditions
        self._inputs, self._places, self._facts = inputs, places, facts
        self._shard = lru_cache(OPEN_SHARDS)(self._open_shard)
        self._one_at_a_time = threading.Lock()

    @classmethod
    def open(cls, uri: str, s3: S3Access | None = None, cache_bytes: int = CACHE_BYTES) -> "Corpus":
        """The corpus in a local folder or at ``s3://bucket/prefix``.

        Of S3 shards about ``cache_bytes`` are kept on this machine. CorpusError if there is no corpus.
        """
        uri = absolute(uri)
        directory = RunDirectory(open_storage(uri, s3))
        run = directory.begun()
        if run.settings.layout != "parquet":
            raise CorpusError(f"{uri}: its layout is {run.settings.layout}; a corpus has the layout parquet")
        clips: list[Clip] = []
        places: list[str] = []
        codecs: set[str | None] = set()
        conditions: dict[str, Mapping[str, Any]] = {}
        digest = hashlib.sha256()
        for marker in directory.markers():
            for row in _index_rows(directory.storage, marker):
                # Of what the clips are, not of where: workers that share a shard write several objects.
                places.append(row.pop("audio_path").partition("#")[0])
                digest.update(json.dumps(row).encode())
                clips.append(
                    Clip(
                        item_id=row["item_id"],
                        split=row.get("split") or "train",
                        condition=row.get("condition") or row["prompt_id"],
                        samples=row["samples"],
                        piece=row.get("piece") or row["midi"],
                    )
                )
                codecs.add(row.get("codec"))
                if clips[-1].condition not in conditions and row.get(FACTS):
                    conditions[clips[-1].condition] = json.loads(row[FACTS])
        if not clips:
            raise CorpusError(f"{uri}: no clip is finished yet")
        codec = codecs.pop() if run.settings.save_codes and len(codecs) == 1 else None
        facts = _Facts(run.settings.sample_rate, digest.hexdigest(), codec, conditions)
        return cls(uri, Inputs((), s3, cache_bytes), tuple(clips), places, facts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Open files belong to a process.
        return Corpus, (self.uri, self._inputs, self.clips, self._places, self._facts)

    def __len__(self) -> int:
        return len(self.clips)

    def audio(self, index: int, start: int = 0, samples: int | None = None) -> FloatSamples:
        """Mono float32 (samples,) of a clip from ``start`` on, by default up to its end; no more is decoded.

        ValueError for what lies outside the clip.
        """
        import soundfile

        length = self.clips[index].samples
        samples = length - start if samples is None else samples
        if start < 0 or samples <= 0 or start + samples > length:
            raise ValueError(f"clip {index} has {length} samples, not {samples} from {start} on")
        cell = self._cell(index, f"{AUDIO}.bytes", AUDIO)
        with soundfile.SoundFile(io.BytesIO(cell["bytes"].as_buffer())) as file:
            file.seek(start)
            return np.asarray(file.read(samples, dtype="float32"))

    def notes(self, index: int) -> Notes:
        """What sounds in a clip, on its clock: pedal applied, offsets at the latest where the clip ends."""
        return notes_of(self._cell(index, "notes"))

    def codes(self, index: int) -> IntArray:
        """The codec's codes of a whole clip, int64 (T, K); CorpusError if the corpus has none."""
        cell = self._cell(index, CODES)
        return np.stack([codebook.values.to_numpy() for codebook in cell], axis=1).astype(np.int64)

    def prompts_for(self, index: int) -> IntArray:
        """The clips (P,) that can prompt a clip: of its condition and split, but of other pieces; may be empty.

        With one of these the prompt is another piece by the same piano in the same room, as when rendering. The
        clip itself can always be its own prompt (its first 3 s).
        """
        clip = self.clips[index]
        alike, pieces = self._alike[clip.split, clip.condition]
        return alike[pieces != clip.piece]

    @cached_property
    def _alike(self) -> dict[tuple[str, str], tuple[IntArray, "np.ndarray[Any, Any]"]]:
        """The clips of every split and condition, and the pieces that these are of."""
        groups: dict[tuple[str, str], list[int]] = {}
        for index, clip in enumerate(self.clips):
            groups.setdefault((clip.split, clip.condition), []).append(index)
        return {
            group: (np.array(found), np.array([self.clips[index].piece for index in found]))
            for group, found in groups.items()
        }

    def _cell(self, index: int, column: str, name: str | None = None) -> Any:
        """What one clip's row holds in a column, of which ``column`` may be a part; only its row group is read."""
        name = name or column
        with self._one_at_a_time:  # Two threads that read one Parquet file may wait for each other for ever.
            file, rows = self._shard(self._places[index])
            if name not in file.schema_arrow.names:
                raise CorpusError(f"{self.uri}: holds no {name}; prepare it with --codec to have codes")
            group, row = rows[self.clips[index].item_id]
            return file.read_row_group(group, [column], use_threads=False)[name][row]

    def _open_shard(self, key: str) -> tuple[pq.ParquetFile, dict[str, tuple[int, int]]]:
        """A shard's file, and in which row group, and where in it, each item is."""
        path = self._inputs.local(f"{self.uri}/{key}")
        file = pq.ParquetFile(path, memory_map=True)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        ids = [str(item_id) for item_id in file.read(["item_id"], use_threads=False)["item_id"].to_pylist()]
        starts = list(accumulate(sizes, initial=0))
        rows = {
            ids[start + row]: (group, row)
            for group, (start, size) in enumerate(zip(starts, sizes, strict=False))
            for row in range(size)
        }
        return file, rows


@dataclass(frozen=True)
class _Facts:
    sample_rate: int
    fingerprint: str
    codec: str | None
    conditions: Mapping[str, Mapping[str, Any]]


def _index_rows(storage: Storage, marker: Marker) -> list[dict[str, Any]]:
    """What the index takes from a shard's metadata, of rendered items alone, and a hash of their notes."""
    metadata = pq.ParquetFile(pa.BufferReader(storage.read(marker.metadata.key)))
    wanted = ("item_id", "status", "samples", "audio_path", "audio_sha256", "prompt_id", "midi")
    optional = ("split", "condition", "piece", "codec", FACTS)
    present = [name for name in (*wanted, *optional) if name in metadata.schema_arrow.names]
    table = metadata.read([*present, "notes"])
    rows = zip(table.select(present).to_pylist(), table["notes"], strict=True)
    return [{**row, "notes_sha256": _notes_hash(notes)} for row, notes in rows if row["status"] == "ok"]


def _notes_hash(cell: Any) -> str:
    notes = notes_of(cell)
    columns = (notes.onset, notes.offset, notes.pitch, notes.velocity)
    return hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in columns)).hexdigest()
