"""Lists of items, a line for each, that are written while the export goes through its shards."""

import gzip
import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

from jobs.exports.export_folder import ExportFolder


class LineFiles:
    """JSON lines files by name, opened when their first line comes; with ``.gz`` in its name one is compressed.

    They get their names when all are closed.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._opened = ExitStack()
        self._files: dict[str, BinaryIO] = {}

    def add(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add a line."""
        if name not in self._files:
            self._files[name] = self._open(name)
        self._files[name].write(json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n")

    def close(self) -> None:
        """Finish all files."""
        self._opened.close()

    def _open(self, name: str) -> BinaryIO:
        file = self._opened.enter_context(self._folder.open(name))
        if not name.endswith(".gz"):
            return file
        # Without a name and a time, equal lines give equal bytes.
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
        return cast(BinaryIO, self._opened.enter_context(packed))
