"""``file://`` URIs, as file managers and other programs write local paths."""

from urllib.parse import unquote, urlsplit

from jobs.errors import JobError

_SCHEME = "file://"


def without_file_scheme(location: str) -> str:
    """The path that a ``file://`` URI names; every other location as it is. JobError if it is on another machine."""
    if not location.lower().startswith(_SCHEME):
        return location
    host = urlsplit(location).netloc
    path = unquote(location[len(_SCHEME) + len(host) :])
    if host not in ("", "localhost") or not path.startswith("/"):
        raise JobError(f"{location}: names no file of this machine; write file:///absolute/path, or the path alone")
    return path
