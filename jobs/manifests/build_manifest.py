"""``midi-valle manifest build``: from a folder of MIDI files to a manifest."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.console import say
from jobs.errors import JobError
from jobs.run_directory.run_directory import RUN_KEY, STATE_FOLDER
from schemas.item_ids import MAX_ID_BYTES, folded, why_unsafe

SUFFIXES = (".mid", ".midi")


def build_manifest(folder: Path, prompt: str, out: Path) -> int:
    """Write a manifest with one row for every MIDI file under a folder; returns how many.

    Item ids are the files' relative paths, made safe and unique. Folders of runs are passed over, and so are files
    whose names Parquet cannot hold, which is said. JobError if there is nothing to write, or something in its place.
    """
    if not folder.is_dir():
        raise JobError(f"{folder} is not a folder")
    if out.exists():
        raise JobError(f"{out} exists already; choose another --out, or remove it")
    files = sorted(_nameable(list(_midi_files(folder)), out.parent))
    if not files:
        raise JobError(f"{folder} holds no {' or '.join(SUFFIXES)} files")
    ids = unique_ids([path.relative_to(folder) for path in files])
    midi = [Path(os.path.relpath(path, out.parent)).as_posix() for path in files]
    table = pa.table({"item_id": ids, "midi": midi, "prompt": [prompt] * len(files)})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, out)
    except OSError as error:
        raise JobError(f"cannot write {out}: {error.strerror or error}") from None
    return len(files)


def _midi_files(folder: Path) -> Iterator[Path]:
    """The MIDI files under a folder, without those in the folders of runs below it: these are their output."""
    for parent, folders, names in os.walk(folder):
        inner = [Path(parent) / name for name in folders]
        folders[:] = [path.name for path in inner if not _is_run(path)]
        for run in filter(_is_run, inner):
            say(f"{run}: passed over, because it is the folder of a run")
        paths = (Path(parent) / name for name in names if not name.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _is_run(folder: Path) -> bool:
    return (folder / RUN_KEY).is_file() and (folder / STATE_FOLDER).is_dir()


def _nameable(files: list[Path], beside: Path) -> list[Path]:
    """The files whose paths from a folder are UTF-8, as text in Parquet must be."""
    good = [path for path in files if _is_utf8(os.path.relpath(path, beside))]
    if left_out := len(files) - len(good):
        first = next(path for path in files if path not in set(good))
        say(f"warning: {left_out:,} file(s) left out, whose names are not UTF-8: {os.fsencode(first)!r}")
    return good


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unique_ids(paths: list[Path]) -> list[str]:
    """A safe item id for every relative path, like ``chopin-op10-1``; where two would be one, numbers follow."""
    taken: set[str] = set()
    ids = []
    for path in paths:
        base = item_id = _safe_id(path)
        number = 2
        while folded(item_id) in taken:
            item_id = f"{base}-{number}"
            number += 1
        taken.add(folded(item_id))
        ids.append(item_id)
    return ids


def _safe_id(path: Path) -> str:
    text = "-".join(path.with_suffix("").parts)
    text = "".join(character if character.isprintable() else "_" for character in text)
    text = re.sub(r'[<>:"/\\|?*]', "_", text).strip(". ") or "item"
    if len(text.encode()) > MAX_ID_BYTES - 8:  # Room for a number that makes it unique.
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        text = text.encode()[: MAX_ID_BYTES - 24].decode(errors="ignore").strip(". ") + f"-{digest}"
    return text if why_unsafe(text) is None else f"item-{text}"
