"""Layouts that keep a shard's items together in one object."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from jobs.output.bundle import read_bundle, write_bundle
from jobs.output.spool import Spool, Spooled, temporary_file
from jobs.output.writers import Encoded, ItemEncoder, WrittenItem, moved, stored_file
from jobs.run_directory.run_names import PARTS_FOLDER
from jobs.storage import Storage
from renderer.rendering import Rendering
from schemas.marker import StoredObject

Assemble = Callable[[BinaryIO, pa.Table, Callable[[str], Encoded], ItemEncoder], None]
"""Writes an archive to an empty file: the items of the table's rows, in their order, by their ids."""

OF_THE_ATTEMPT = ("audio_path", "midi_path", "codes_path", "render_seconds")
"""Result columns that are left out of archives: each attempt's are others, but its archive holds the same bytes."""


class _SpooledItem(NamedTuple):
    audio: Spooled
    midi: Spooled
    codes: Spooled | None
    clipped_samples: int


class ArchiveWriter:
    """Spools items to disk as they finish, and writes them as one object when all are there.

    Failed items are not in the object; the metadata has them.
    """

    def __init__(self, storage: Storage, key: str, encoder: ItemEncoder, assemble: Assemble) -> None:
        self._storage, self._key = storage, key
        self._encoder, self._assemble = encoder, assemble
        self._spool = Spool()
        self._items: dict[str, _SpooledItem] = {}

    def write(self, rendering: Rendering) -> WrittenItem:
        """Spool one rendering; its paths are those that it will have in the archive."""
        item_id, encoded = rendering.item_id, self._encoder.encode(rendering)
        self._add(item_id, encoded)
        return WrittenItem(
            audio_path=f"{self._key}#{item_id}{self._encoder.suffix}",
            audio_bytes=len(encoded.audio),
            audio_sha256=hashlib.sha256(encoded.audio).hexdigest(),
            midi_path=f"{self._key}#{item_id}.mid",
            codes_path=None if encoded.codes is None else f"{self._key}#{item_id}.codes.npy",
            clipped_samples=encoded.clipped_samples,
        )

    def adopt(self, results: pa.Table, objects: Sequence[StoredObject]) -> pa.Table:
        """Spool the items of a part's bundle."""
        for stored in objects:
            with self._storage.open(stored.key) as file:
                for item_id, encoded in read_bundle(file):
                    self._add(item_id, encoded)
        return moved(results, self._key)

    def finish(self, results: pa.Table, is_part: bool = False) -> tuple[StoredObject, ...]:
        """The archive, or of a part the bundle; no object if no item was rendered."""
        rendered = results.filter(pc.equal(results["status"], pa.scalar("ok"))).drop_columns(list(OF_THE_ATTEMPT))
        name = PurePosixPath(self._key).stem
        key, assemble = (f"{PARTS_FOLDER}/{name}.tar", write_bundle) if is_part else (self._key, self._assemble)
        try:
            return (self._store(key, assemble, rendered),) if len(rendered) else ()
        finally:
            self._spool.close()

    def _add(self, item_id: str, encoded: Encoded) -> None:
        self._items[item_id] = _SpooledItem(
            self._spool.add(encoded.audio),
            self._spool.add(encoded.midi),
            None if encoded.codes is None else self._spool.add(encoded.codes),
            encoded.clipped_samples,
        )

    def _store(self, key: str, assemble: Assemble, rendered: pa.Table) -> StoredObject:
        with temporary_file() as file:
            assemble(file, rendered, self._read, self._encoder)
            stored = stored_file(key, file)
            self._storage.write_file(key, file)
        return stored

    def _read(self, item_id: str) -> Encoded:
        item = self._items[item_id]
        return Encoded(
            self._spool.read(item.audio),
            self._spool.read(item.midi),
            item.codes and self._spool.read(item.codes),
            item.clipped_samples,
        )
