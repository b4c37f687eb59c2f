"""Which ids may become file names on every system."""

import re
import unicodedata

MAX_ID_BYTES = 200
"""With an extension the name still fits the 255 bytes that file systems allow."""

_ILLEGAL = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def why_unsafe(item_id: str) -> str | None:
    """Why ``item_id`` cannot be a file name on Linux, macOS and Windows alike, or None when it can."""
    if not item_id:
        return "empty"
    if len(item_id) > MAX_ID_BYTES or len(item_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        return f"longer than {MAX_ID_BYTES} bytes"
    if not item_id.isprintable():
        return "holds control or invisible characters"
    if _ILLEGAL.search(item_id):
        return 'holds one of < > : " / \\ | ? *'
    if item_id[0] in ". " or item_id[-1] in ". ":
        return "begins or ends with a dot or a space"
    if _RESERVED.fullmatch(item_id):
        return "a name that Windows reserves"
    return None


def why_unsafe_path(item_id: str) -> str | None:
    """Like :func:`why_unsafe`, for an id whose parts between ``/`` are folders and a file of an archive."""
    if len(item_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        return f"longer than {MAX_ID_BYTES} bytes"
    return next((reason for part in item_id.split("/") if (reason := why_unsafe(part))), None)


def file_stem(item_id: str, separator: str | None) -> str:
    """An item's name as a file; ``separator``, if there is one, stands in it for every ``/``."""
    return item_id if separator is None else item_id.replace("/", separator)


def folded(item_id: str) -> str:
    """The form in which two ids are the same file on a system that ignores case and Unicode composition."""
    if item_id.isascii():
        return item_id.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", item_id).casefold())
