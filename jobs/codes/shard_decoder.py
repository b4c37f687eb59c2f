"""Inside a worker of ``midi-valle decode``: a finished shard of codes becomes a finished shard of audio."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import torch

from jobs.codes.coded_run import CodedRun, ItemDecoder, item_facts, read_codes
from jobs.errors import JobError
from jobs.in_order import in_order
from jobs.output.layouts import open_writer
from jobs.output.writers import WrittenItem, store_rows
from jobs.result_notes import notes_of
from jobs.run_directory.run_directory import RunDirectory, shard_name
from jobs.storage import Storage
from renderer.rendering import Rendering
from schemas.marker import Marker
from schemas.run import Run

WRITERS = 4
"""So many items are encoded and written while the next are decoded."""

_PLACES = ("audio_path", "audio_bytes", "audio_sha256", "midi_path", "codes_path")
"""All that differs between the rows of the two runs."""


@dataclass(frozen=True, eq=False)
class DecodeWork:
    """What a worker needs: the run with codes, and the one to be made of it, in ``storage``."""

    coded: CodedRun
    made: Run
    storage: Storage
    device: str


class ShardDecoder:
    """Decodes shards, writes them in the layout of the run that is made, and commits them."""

    def __init__(self, work: DecodeWork) -> None:
        torch.set_num_threads(work.made.threads)
        self._work, self._directory = work, RunDirectory(work.storage)
        self._decoder = ItemDecoder(work.coded.run, work.coded.decoder(work.device))

    def decode(self, marker: Marker) -> Marker:
        """Make a shard's audio and commit it, with the verdicts and measures that it has; returns its marker."""
        coded = self._work.coded
        rows = coded.directory.result_rows(marker)
        attempt = uuid.uuid4().hex
        name = f"{shard_name(marker.shard)}-{attempt}"
        writer = open_writer(self._work.storage, self._work.made.settings, name)
        with ThreadPoolExecutor(WRITERS, "writer") as pool:
            renderings = self._renderings(rows, marker)
            written = list(in_order(pool, writer.write, renderings, WRITERS))
        table = _with_places(rows, written)
        objects = writer.finish(table)
        metadata = store_rows(self._work.storage, name, table)
        return self._directory.commit(replace(marker, attempt=attempt, metadata=metadata, objects=objects))

    def _renderings(self, rows: pa.Table, marker: Marker) -> Iterator[Rendering]:
        codes = read_codes(self._work.coded.storage, marker)
        for row, notes in zip(item_facts(rows), rows["notes"], strict=True):
            if row["status"] != "ok":
                continue
            segments = codes.get(row["codes_path"])
            if segments is None:
                raise JobError(f"{row['codes_path']} is missing; midi-valle verify tells what else is")
            yield self._decoder.rendering(row, notes_of(notes), segments)


def _with_places(rows: pa.Table, written: Sequence[WrittenItem]) -> pa.Table:
    """The result rows with the places of their audio; failed ones have none."""
    items = iter(written)
    places: list[dict[str, Any]] = [
        asdict(next(items)) if status == "ok" else dict.fromkeys(_PLACES) for status in rows["status"].to_pylist()
    ]
    for name in _PLACES:
        index = rows.schema.get_field_index(name)
        field = rows.schema.field(index)
        rows = rows.set_column(index, field, pa.array([place[name] for place in places], field.type))
    return rows


_decoder: ShardDecoder | None = None
"""Of this process, if it is a worker."""


def load_decoder(work: DecodeWork) -> None:
    """Make this process a worker."""
    global _decoder
    _decoder = ShardDecoder(work)


def decode_shard(marker: Marker) -> Marker:
    """In a worker: see ``ShardDecoder.decode``."""
    assert _decoder is not None
    return _decoder.decode(marker)
