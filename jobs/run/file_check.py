"""Looking for the files that a manifest or a prompt bank names, before anything is rendered."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs, is_s3
from schemas.checks import shown

CHECKED_OBJECTS = 200
"""So many objects of S3 are looked for; each costs a request."""

REQUESTS_AT_ONCE = 16
SHOWN_NAMES = 3


@dataclass(frozen=True)
class FileCheck:
    """How many names were looked for; which are not there, and which may not be read, with the first reason."""

    looked_for: int
    missing: Sequence[str]
    forbidden: Sequence[str]
    reason: str

    @property
    def unusable(self) -> int:
        """How many cannot be used."""
        return len(self.missing) + len(self.forbidden)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing):,} of {self.looked_for:,} files do not exist: {some(self.missing)}")
        if self.forbidden:
            count = f"{len(self.forbidden):,} of {self.looked_for:,} files may not be read"
            parts.append(f"{count}: {some(self.forbidden)}: {self.reason}")
        return "; ".join(parts)


def look_for_files(names: Iterable[str], folder: str, inputs: Inputs) -> FileCheck:
    """Look for all local files, and for some objects of S3, evenly spread; relative names lie in ``folder``."""
    local: list[str] = []
    remote: list[str] = []
    for name in sorted(set(names)):
        (remote if is_s3(name) or (is_s3(folder) and not _is_local(name)) else local).append(name)
    remote = remote[:: max(1, math.ceil(len(remote) / CHECKED_OBJECTS))]
    missing, forbidden, reason = [], [], ""

    def look_for(name: str) -> bool | InputError:
        try:
            return inputs.exists(name, folder)
        except InputError as error:
            return error

    with ThreadPool(REQUESTS_AT_ONCE) as pool:
        for name, found in zip([*local, *remote], [*map(look_for, local), *pool.imap(look_for, remote)], strict=True):
            if isinstance(found, InputError):
                forbidden.append(name)
                reason = reason or str(found)
            elif not found:
                missing.append(name)
    return FileCheck(len(local) + len(remote), missing, forbidden, reason)


def _is_local(name: str) -> bool:
    return name.startswith(("/", "file://"))


def some(names: Sequence[str]) -> str:
    """The first of many names, as they may be printed."""
    return ", ".join(map(shown, names[:SHOWN_NAMES])) + (", ..." if len(names) > SHOWN_NAMES else "")
