"""Layout ``codes``: what a shard's audio is decoded from, as Parquet; the notes are in the metadata."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import UnavailableError
from jobs.output.spool import temporary_file
from jobs.output.writers import WrittenItem, moved, stored_file
from jobs.run_directory.run_names import PARTS_FOLDER
from jobs.storage import Storage
from renderer.audio.audio_file import count_clipped
from renderer.rendering import Rendering
from renderer.segments import SegmentCodes
from schemas.marker import StoredObject

SEGMENTS = "segments"
SEGMENTS_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("start", pa.int32(), nullable=False),
            pa.field("keep", pa.int32(), nullable=False),
            pa.field("end", pa.int32(), nullable=False),
            pa.field("codes", pa.list_(pa.list_(pa.uint16())), nullable=False),
        ]
    )
)
"""A piece: its segments in order. Places in frames, as of ``renderer.segments.Segment``; codes as K lists of frames."""

GROUP_ITEMS = 100
"""Items of a row group, which has one dictionary: with it a code takes as many bits as it must, not 16."""


class CodesWriter:
    """Keeps a shard's codes in memory, and writes them as one object. Failed items are not in it."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage, self._key = storage, key
        self._segments: dict[str, Sequence[SegmentCodes]] = {}

    def write(self, rendering: Rendering) -> WrittenItem:
        """Keep one rendering's codes; AudioError for audio that no file could hold, ValueError if it has no codes."""
        clipped = count_clipped(rendering.samples)
        if not rendering.segment_codes:
            raise ValueError("codes are to be kept in place of audio, but this renderer gives none")
        self._segments[rendering.item_id] = rendering.segment_codes
        return WrittenItem(codes_path=f"{self._key}#{rendering.item_id}", clipped_samples=clipped)

    def adopt(self, results: pa.Table, objects: Sequence[StoredObject]) -> pa.Table:
        """Keep the codes of a part's object."""
        for stored in objects:
            with self._storage.open(stored.key) as file:
                self._segments.update(stored_codes(file))
        return moved(results, self._key)

    def finish(self, results: pa.Table, is_part: bool = False) -> tuple[StoredObject, ...]:
        """The object, its rows in the manifest's order; none if no item was rendered."""
        rendered = results.filter(pc.equal(results["status"], pa.scalar("ok")))
        ids = [str(item_id) for item_id in rendered["item_id"].to_pylist()]
        if not ids:
            return ()
        key = f"{PARTS_FOLDER}/{PurePosixPath(self._key).name}" if is_part else self._key
        with temporary_file() as file:
            self._assemble(file, ids)
            stored = stored_file(key, file)
            self._storage.write_file(key, file)
        return (stored,)

    def _assemble(self, file: BinaryIO, ids: Sequence[str]) -> None:
        schema = pa.schema([pa.field("item_id", pa.string(), False), pa.field(SEGMENTS, SEGMENTS_TYPE, False)])
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for first in range(0, len(ids), GROUP_ITEMS):
                group = ids[first : first + GROUP_ITEMS]
                segments = pa.array([_plain(self._segments[item_id]) for item_id in group], SEGMENTS_TYPE)
                table = pa.Table.from_arrays([pa.array(group), segments], schema=schema)
                writer.write_table(table, row_group_size=len(group))


def stored_codes(file: BinaryIO) -> Iterator[tuple[str, Sequence[SegmentCodes]]]:
    """The id and the segments of every item of an object, one row group in memory at a time."""
    parquet = pq.ParquetFile(file)
    for number in range(parquet.num_row_groups):
        group = parquet.read_row_group(number)
        for item_id, pieces in zip(group["item_id"].to_pylist(), group[SEGMENTS], strict=True):
            yield str(item_id), [_segment(piece) for piece in pieces]


def item_codes(file: BinaryIO, item_id: str) -> Sequence[SegmentCodes]:
    """The segments of one item of an object; UnavailableError if it is not there."""
    found = pq.read_table(file, filters=[("item_id", "==", item_id)])[SEGMENTS]
    if len(found) != 1:
        raise UnavailableError(f"there are no codes of {item_id!r}; midi-valle verify tells what else is missing")
    return [_segment(piece) for piece in found[0]]


def _plain(segments: Sequence[SegmentCodes]) -> list[dict[str, object]]:
    return [
        {"start": segment.start, "keep": segment.keep, "end": segment.end, "codes": list(segment.codes.T)}
        for segment in segments
    ]


def _segment(piece: Any) -> SegmentCodes:
    codes = np.stack([np.asarray(book.values) for book in piece["codes"]], axis=1)
    return SegmentCodes(piece["start"].as_py(), piece["keep"].as_py(), piece["end"].as_py(), codes)
