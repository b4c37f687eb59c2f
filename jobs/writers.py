"""How renderings are laid out in the run directory."""

import hashlib
import io
from dataclasses import dataclass
from typing import cast

from jobs.storage import Storage
from renderer.audio import AudioFormat, audio_suffix, write_audio
from renderer.midi import midi_bytes
from renderer.render import Rendering
from schemas.marker import StoredObject


@dataclass(frozen=True)
class WrittenItem:
    """Where an item's audio and notes are, and how many samples were clipped on the way."""

    audio: StoredObject
    midi: StoredObject
    clipped_samples: int


class FilesWriter:
    """Layout ``files``: ``audio/<item_id>.flac`` and ``midi/<item_id>.mid``."""

    def __init__(self, storage: Storage, audio_format: str) -> None:
        self._storage = storage
        self._format = cast(AudioFormat, audio_format)
        self._objects: list[StoredObject] = []

    def write(self, rendering: Rendering) -> WrittenItem:
        """Write one rendering's audio and notes; StorageError if the storage refuses."""
        audio = io.BytesIO()
        clipped = write_audio(audio, rendering.samples, rendering.sample_rate, self._format)
        suffix = audio_suffix(self._format)
        return WrittenItem(
            self._store(f"audio/{rendering.item_id}{suffix}", audio.getvalue()),
            self._store(f"midi/{rendering.item_id}.mid", midi_bytes(rendering.notes)),
            clipped,
        )

    def finish(self) -> tuple[StoredObject, ...]:
        """All that was written; it is durable now."""
        return tuple(self._objects)

    def _store(self, key: str, data: bytes) -> StoredObject:
        self._storage.write(key, data)
        stored = stored_object(key, data)
        self._objects.append(stored)
        return stored


def stored_object(key: str, data: bytes) -> StoredObject:
    """The key, size and hash of an object with this content."""
    return StoredObject(key, len(data), hashlib.sha256(data).hexdigest())
