"""The names that a run gives its objects: by them alone it is known what may be deleted."""

import re
from typing import cast

from jobs.errors import JobError
from jobs.run_directory.events import EVENTS_NAME
from jobs.run_directory.marker_index import INDEX_FOLDER, INDEX_NAME
from jobs.storage.local_storage import is_temporary
from renderer.audio.audio_file import AudioFormat, audio_suffix
from schemas.item_ids import why_unsafe
from schemas.run import RunSettings

PARTS_FOLDER = "_state/parts"
"""Where the parts of shards lie that several workers share, until they are put together."""

_HEX = "[0-9a-f]"
_ATTEMPT = rf"\d{{5,}}-{_HEX}{{32}}"
_PART = re.compile(rf"{PARTS_FOLDER}/{_ATTEMPT}\.(arrow|parquet|tar)")
_METADATA = re.compile(rf"metadata/(\d{{5,}})-{_HEX}{{32}}\.parquet")
_STATE = re.compile(
    rf"run\.json|report\.html|{EVENTS_NAME.pattern}"
    rf"|_state/(driver\.json|options\.toml|manifest\.parquet|probe-{_HEX}{{32}}|done/\d{{5,}}(\.r\d+)?\.json)"
    rf"|{INDEX_NAME.pattern}"
)
_STATE_FOLDERS = frozenset(("", "_state", "_state/done", INDEX_FOLDER, PARTS_FOLDER, "events", "metadata"))


class RunNames:
    """Which keys the writers of a run can have made; anything else in its folder is somebody else's."""

    def __init__(self, settings: RunSettings) -> None:
        self._suffixes: dict[str, str] = {}
        self._archive = ""
        match settings.layout:
            case "files":
                try:
                    self._suffixes = {"audio": audio_suffix(cast(AudioFormat, settings.format)), "midi": ".mid"}
                except ValueError as error:
                    raise JobError(f"run.json: {error}") from None
                if settings.save_codes:
                    self._suffixes["codes"] = ".npy"
            case "webdataset":
                self._archive = ".tar"
            case "parquet" | "codes":
                self._archive = ".parquet"
            case "none":
                pass
            case unknown:
                raise JobError(f"run.json: layout {unknown!r} is unknown")

    @property
    def folders(self) -> frozenset[str]:
        """The folders that the run writes in; ``""`` is its own."""
        return _STATE_FOLDERS | self._suffixes.keys() | ({"shards"} if self._archive else set())

    def is_data(self, key: str) -> bool:
        """Whether it is what attempts write, and a marker makes final."""
        folder, _, name = key.partition("/")
        if folder in self._suffixes and name.endswith(self._suffixes[folder]):
            stem = name.removesuffix(self._suffixes[folder])
            return why_unsafe(re.sub(rf"\.{_ATTEMPT}$", "", stem)) is None
        if folder == "shards" and self._archive:
            return re.fullmatch(_ATTEMPT + re.escape(self._archive), name) is not None
        return (_METADATA.fullmatch(key) or _PART.fullmatch(key)) is not None

    def is_own(self, key: str) -> bool:
        """Whether it is any object of the run."""
        return self.is_data(key) or _STATE.fullmatch(key) is not None

    def is_leftover(self, key: str) -> bool:
        """Whether it is what an interrupted write left: a temporary file, or on S3 an unfinished upload by its key."""
        folder, _, name = key.rpartition("/")
        return self.is_own(key) or (folder in self.folders and is_temporary(name))


def shard_of_metadata(key: str) -> int | None:
    """The shard whose result rows an object holds; None if it holds none."""
    found = _METADATA.fullmatch(key)
    return int(found[1]) if found else None
