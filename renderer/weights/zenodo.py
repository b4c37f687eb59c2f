"""What a Zenodo record offers, as its API states it."""

import json
from dataclasses import dataclass

from renderer.patience import Patience
from renderer.weights.download import PATIENCE, DownloadError, fetch


@dataclass(frozen=True)
class ZenodoFile:
    """One file of a record: where it is, its size in bytes, and its checksum."""

    name: str
    url: str
    size: int
    md5: str


@dataclass(frozen=True)
class ZenodoRecord:
    """A published record: its files, and the identifier of the licence it states (None if it states none)."""

    url: str
    licence: str | None
    files: tuple[ZenodoFile, ...]

    @classmethod
    def fetch(cls, url: str, patience: Patience = PATIENCE) -> "ZenodoRecord":
        """Reads the record behind an API address such as ``https://zenodo.org/api/records/<number>``.

        DownloadError if the address cannot be reached, or answers with something else than a record.
        """
        body = fetch(url, patience)
        try:
            record = json.loads(body)
            licence = record.get("metadata", {}).get("license", {}).get("id")
            return cls(url, licence, tuple(_file(entry) for entry in record["files"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            start = body[:60].decode("utf-8", "replace")
            raise DownloadError(
                f"{url}: expected a Zenodo record as JSON, found {start!r} ({type(error).__name__}: {error})."
            ) from error

    def file(self, name: str) -> ZenodoFile | None:
        """The file of that name, if the record has it."""
        return next((file for file in self.files if file.name == name), None)


def _file(entry: dict[str, object]) -> ZenodoFile:
    links, size, checksum = entry["links"], entry["size"], str(entry["checksum"])
    algorithm, _, digest = checksum.partition(":")
    if algorithm != "md5" or not isinstance(links, dict) or not isinstance(size, int):
        raise ValueError(f"a file entry without address, size and md5: {entry}")
    return ZenodoFile(str(entry["key"]), str(links["self"]), size, digest)
