"""The text of an SFZ file: what it includes and defines, put in place."""

import re
from pathlib import Path, PureWindowsPath

from renderer.errors import AudioError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(r'#define\s+\$(\w+)\s+(\S+)|#include\s*"([^"\n]*)"')
_VARIABLE = re.compile(r"\$(\w+)")
_DEEPEST = 32
_MOST_CHARACTERS = 64 << 20


def sfz_text(path: Path) -> str:
    """The file's text without comments and directives. Included files are named from the folder of the first.

    AudioError if a file cannot be read, includes itself, or uses what nothing defines.
    """
    pieces: list[str] = []
    _expand(path, path.parent, {}, pieces, 0)
    return "".join(pieces)


def _expand(path: Path, folder: Path, defined: dict[str, str], pieces: list[str], depth: int) -> None:
    if depth > _DEEPEST or sum(map(len, pieces)) > _MOST_CHARACTERS:
        raise AudioError(f"{path}: #include goes on without end")
    try:
        text = _COMMENT.sub("", path.read_text("utf-8-sig", "replace"))
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    end = 0
    for found in _DIRECTIVE.finditer(text):
        pieces.append(_replaced(path, text[end : found.start()], defined))
        end = found.end()
        name, value, included = found.groups()
        if included is None:
            defined[name] = _replaced(path, value, defined)
        else:
            inner = PureWindowsPath(_replaced(path, included, defined)).as_posix()
            _expand(folder / inner, folder, defined, pieces, depth + 1)
    pieces.append(_replaced(path, text[end:], defined))


def _replaced(path: Path, text: str, defined: dict[str, str]) -> str:
    """Each ``$NAME`` by what it stands for: the longest name that is defined, as ``$KEYS`` may be ``$KEY`` and an S."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        for length in range(len(name), 0, -1):
            if name[:length] in defined:
                return defined[name[:length]] + name[length:]
        raise AudioError(f"{path}: ${name} is used, but nothing defines it")

    return _VARIABLE.sub(value, text)
