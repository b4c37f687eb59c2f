"""The audio of a run's items, by the ``audio_path`` of their result rows, in whichever layout it lies."""

from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

from jobs.errors import StorageError
from jobs.output.layouts import key_of, stored_audio
from jobs.storage import Storage
from jobs.storage.local_storage import LocalStorage

OPEN_ARCHIVES = 4
"""Failed items that were rendered again lie in archives of their own."""


class AudioReader:
    """Reads items: from archives fast, if they are asked for in the order of their rows.

    Some archives stay open, until :meth:`close`. Goes to other processes without them.
    """

    def __init__(self, storage: Storage, layout: str) -> None:
        self._storage, self._layout = storage, layout
        self._archives: OrderedDict[str, _Archive] = OrderedDict()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archives": OrderedDict()}

    def close(self) -> None:
        """Close what is open."""
        while self._archives:
            self._archives.popitem()[1].close()

    def local_file(self, audio_path: str) -> Path | None:
        """The item's file on this machine, if it has one of its own."""
        if key_of(self._layout, audio_path) != audio_path or not isinstance(self._storage, LocalStorage):
            return None
        return self._storage.file(audio_path)

    def read(self, audio_path: str) -> bytes:
        """An item's audio file; StorageError if it is not where its row says."""
        key = key_of(self._layout, audio_path)
        if key == audio_path:
            return self._storage.read(key)
        if key not in self._archives:
            self._archives[key] = _Archive(self._layout, key, self._storage.open(key))
        self._archives.move_to_end(key)
        while len(self._archives) > OPEN_ARCHIVES:
            self._archives.popitem(last=False)[1].close()
        content = self._archives[key].find(audio_path)
        if content is None:
            raise StorageError(f"{self._storage.uri}/{audio_path} is missing; midi-valle verify tells what else is")
        return content.read()


class _Archive:
    """An archive that is read on from where it is, and once more from its beginning."""

    def __init__(self, layout: str, key: str, file: BinaryIO) -> None:
        self._layout, self._key, self._file = layout, key, file
        self._members = stored_audio(layout, key, file)

    def find(self, wanted: str) -> BinaryIO | None:
        for _ in range(2):
            for path, content in self._members:
                if path == wanted:
                    return content
            self._file.seek(0)
            self._members = stored_audio(self._layout, self._key, self._file)
        return None

    def close(self) -> None:
        self._file.close()
