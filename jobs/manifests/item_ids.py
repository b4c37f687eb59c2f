"""Item ids made of files' names: safe as names of files on every system, and unique."""

import hashlib
import re
from pathlib import PurePosixPath

from schemas.item_ids import MAX_ID_BYTES, folded, why_unsafe

SUFFIX_BYTES = 24
"""Room for what tells the renderings of one file apart, and for a number that makes an id unique."""


class ItemIds:
    """Gives each id out once: where two would be one, numbers follow."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of_file(self, name: str, *, has_suffixes: bool = False) -> str:
        """An id like ``chopin-op10-1`` for a relative path; ``has_suffixes`` leaves room for them."""
        return self.take(_safe_id(PurePosixPath(name), MAX_ID_BYTES - (SUFFIX_BYTES if has_suffixes else 8)))

    def take(self, base: str) -> str:
        """The id, or if it is taken, the id with a number."""
        item_id, number = base, 2
        while folded(item_id) in self._taken:
            item_id = f"{base}-{number}"
            number += 1
        self._taken.add(folded(item_id))
        return item_id


def _safe_id(path: PurePosixPath, most_bytes: int) -> str:
    text = "-".join(path.with_suffix("").parts)
    text = "".join(character if character.isprintable() else "_" for character in text)
    text = re.sub(r'[<>:"/\\|?*]', "_", text).strip(". ") or "item"
    if len(text.encode()) > most_bytes:
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        text = text.encode()[: most_bytes - 16].decode(errors="ignore").strip(". ") + f"-{digest}"
    return text if why_unsafe(text) is None else f"item-{text}"
