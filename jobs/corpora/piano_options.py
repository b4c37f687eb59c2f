"""Pianos as a user names them on the command line."""

from collections.abc import Sequence
from pathlib import Path

from jobs.errors import JobError
from renderer.pianos.open_piano import SOUNDFONTS, PianoFiles


def read_pianos(texts: Sequence[str]) -> dict[str, PianoFiles]:
    """The pianos by name; JobError for what is not ``NAME=PATH`` or ``NAME=SOUNDFONT#BANK:PRESET``."""
    found: dict[str, PianoFiles] = {}
    for text in texts:
        name, _, place = text.partition("=")
        path, _, preset = place.partition("#") if _is_soundfont(place) else (place, "", "")
        bank, _, program = (preset or "0:0").partition(":")
        if not (name.isprintable() and name and path and bank.isdigit() and program.isdigit() and "@" not in name):
            raise JobError(f"--piano {text}: give NAME=FOLDER, NAME=FILE.sfz or NAME=FILE.sf2#BANK:PRESET")
        if name in found:
            raise JobError(f"--piano {name} is given twice")
        found[name] = PianoFiles(Path(path).absolute(), int(bank), int(program))
    return found


def _is_soundfont(place: str) -> bool:
    return any(suffix in place.lower() for suffix in SOUNDFONTS)
