"""How renderings become objects of the run directory: one writer for each layout (jobs/output/layouts.py).

Whatever the layout, a shard's objects hold the same bytes in whichever order its items finish.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.storage import Storage
from renderer.audio.audio_file import AudioFormat, audio_suffix, count_clipped, write_audio
from renderer.midi.midi_file import midi_bytes
from renderer.rendering import Rendering
from schemas.item_ids import file_stem
from schemas.marker import StoredObject


@dataclass(frozen=True, kw_only=True)
class WrittenItem:
    """Where an item's audio, notes and codes are, and how many samples were clipped on the way.

    A path is an object's key, or for a member of an archive ``key#member``: keys of archives hold no ``#``.
    None is what the layout does not keep.
    """

    audio_path: str | None = None
    audio_bytes: int | None = None
    audio_sha256: str | None = None
    midi_path: str | None = None
    codes_path: str | None = None
    clipped_samples: int


class Writer(Protocol):
    """Writes one shard of a run."""

    def write(self, rendering: Rendering) -> WrittenItem:
        """Take one rendering; AudioError if its audio cannot be written, StorageError if the storage refuses."""
        ...

    def adopt(self, results: pa.Table, objects: Sequence[StoredObject]) -> pa.Table:
        """Take over what the writer of a part has written: its rows, with the paths that hold from now on."""
        ...

    def finish(self, results: pa.Table, is_part: bool = False) -> tuple[StoredObject, ...]:
        """All objects that were written, durable now; ``results`` are the shard's rows, in the manifest's order.

        Those of a part are for :meth:`adopt` alone.
        """
        ...


@dataclass(frozen=True)
class Encoded:
    """An item as bytes: an audio file, a MIDI file, and its codes (K, T) as a NumPy file if they are kept."""

    audio: bytes
    midi: bytes
    codes: bytes | None
    clipped_samples: int


@dataclass(frozen=True)
class ItemEncoder:
    """Turns renderings into bytes; equal renderings give equal bytes.

    ``id_separator`` stands for the ``/`` of ids where an item is a file.
    """

    audio_format: AudioFormat
    save_codes: bool
    id_separator: str | None = None

    @property
    def suffix(self) -> str:
        """The end of an audio file's name."""
        return audio_suffix(self.audio_format)

    def encode(self, rendering: Rendering) -> Encoded:
        """One rendering's files; AudioError or ValueError if it cannot be encoded."""
        audio = io.BytesIO()
        clipped = write_audio(audio, rendering.samples, rendering.sample_rate, self.audio_format)
        return Encoded(audio.getvalue(), midi_bytes(rendering.notes), self._codes(rendering), clipped)

    def _codes(self, rendering: Rendering) -> bytes | None:
        if not self.save_codes:
            return None
        if rendering.codes is None:
            raise ValueError("codes are to be saved, but this renderer gives none")
        codes = io.BytesIO()
        np.save(codes, rendering.codes)
        return codes.getvalue()


class FilesWriter:
    """Layout ``files``: ``audio/<item_id>.flac``, ``midi/<item_id>.mid``, and ``codes/<item_id>.npy`` if kept.

    No file is ever replaced, as a marker may name it, or be about to. Where an earlier attempt left other bytes
    (another kind of machine rounds differently), this one's file is ``<item_id>.<attempt>.flac``. In all of these
    names ``id_separator`` stands for the ``/`` of ids.
    """

    def __init__(self, storage: Storage, encoder: ItemEncoder, attempt: str) -> None:
        self._storage = storage
        self._encoder = encoder
        self._attempt = attempt
        self._objects: dict[str, StoredObject] = {}

    def write(self, rendering: Rendering) -> WrittenItem:
        """Write one rendering's files."""
        stem, encoded = file_stem(rendering.item_id, self._encoder.id_separator), self._encoder.encode(rendering)
        audio = self._store(f"audio/{stem}", self._encoder.suffix, encoded.audio)
        midi = self._store(f"midi/{stem}", ".mid", encoded.midi)
        codes = None if encoded.codes is None else self._store(f"codes/{stem}", ".npy", encoded.codes)
        return WrittenItem(
            audio_path=audio.key,
            audio_bytes=audio.bytes,
            audio_sha256=audio.sha256,
            midi_path=midi.key,
            codes_path=None if codes is None else codes.key,
            clipped_samples=encoded.clipped_samples,
        )

    def adopt(self, results: pa.Table, objects: Sequence[StoredObject]) -> pa.Table:
        """The files stay where they are."""
        self._objects.update({stored.key: stored for stored in objects})
        return results

    def finish(self, results: pa.Table, is_part: bool = False) -> tuple[StoredObject, ...]:
        """All files, in the order in which they were written."""
        return tuple(self._objects.values())

    def _store(self, name: str, suffix: str, data: bytes) -> StoredObject:
        key = f"{name}{suffix}"
        if not self._storage.create(key, data) and self._storage.read(key) != data:
            key = f"{name}.{self._attempt}{suffix}"
            self._storage.write(key, data)
        self._objects[key] = stored_object(key, data)
        return self._objects[key]


class MeasuringWriter:
    """Layout ``none``: nothing is kept but the result rows."""

    def write(self, rendering: Rendering) -> WrittenItem:
        """Count the samples that a file would have clipped; AudioError for audio that no file could hold."""
        return WrittenItem(clipped_samples=count_clipped(rendering.samples))

    def adopt(self, results: pa.Table, objects: Sequence[StoredObject]) -> pa.Table:
        """The rows as they are."""
        return results

    def finish(self, results: pa.Table, is_part: bool = False) -> tuple[StoredObject, ...]:
        """No objects."""
        return ()


def stored_object(key: str, data: bytes) -> StoredObject:
    """The key, size and hash of an object with this content."""
    return StoredObject(key, len(data), hashlib.sha256(data).hexdigest())


def stored_file(key: str, file: BinaryIO) -> StoredObject:
    """The same of an object with the content of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return StoredObject(key, size, hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest())


def store_rows(storage: Storage, name: str, results: pa.Table) -> StoredObject:
    """Write a shard's result rows under the name of the attempt that made them."""
    metadata = io.BytesIO()
    pq.write_table(results, metadata, compression="zstd")
    key = f"metadata/{name}.parquet"
    storage.write(key, metadata.getvalue())
    return stored_object(key, metadata.getvalue())


def moved(results: pa.Table, key: str) -> pa.Table:
    """The rows with paths in another archive."""
    for name in ("audio_path", "midi_path", "codes_path"):
        paths = pc.replace_substring_regex(results[name], "^[^#]*#", f"{key}#")
        results = results.set_column(results.column_names.index(name), results.field(name), paths)
    return results
