"""The MIDI files that a manifest is built from, and what tables say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from jobs.console import say
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, absolute, folder_of, is_s3
from jobs.manifests.dataset_table import DatasetTable, is_table_name, kind_of_csv, read_dataset_table
from jobs.manifests.midi_files import SUFFIXES, in_folder, is_midi_name, is_pattern, matching


class MidiSource(NamedTuple):
    """A MIDI file: its absolute location, and its path below ``root``, the source that it was found in.

    ``table`` and ``row`` are where a table tells of it; ``piece`` is what that says is played.
    """

    location: str
    name: str
    root: str
    table: int | None = None
    row: int | None = None
    piece: str | None = None


@dataclass
class Material:
    """All files, each once, in the order of the sources, and in each of their paths; and the tables' columns."""

    files: list[MidiSource] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)

    @classmethod
    def of(cls, sources: Sequence[str], midi_root: str | None, inputs: Inputs) -> "Material":
        """What the sources hold: folders, S3 prefixes, patterns, MIDI files, tables. JobError if one holds nothing.

        ``midi_root`` is where tables' files lie, if that is not their own folder.
        """
        material = cls()
        for source in sources:
            location = absolute(source)
            if is_table_name(location):
                found = material._of_table(location, midi_root, inputs)
            else:
                found = _searched(location, inputs)
            material.files += sorted(found, key=lambda file: file.name.split("/"))
        if midi_root is not None and not material.tables:
            raise JobError("--midi-root is where a table's files lie, but none of the sources is a table")
        once: dict[str, MidiSource] = {}
        for file in material.files:
            once.setdefault(file.location, file)
        material.files = list(once.values())
        return material

    def _of_table(self, location: str, midi_root: str | None, inputs: Inputs) -> list[MidiSource]:
        table = read_dataset_table(inputs.local(location), location)
        root = absolute(midi_root) if midi_root is not None else folder_of(location)
        names = _placed(table, root, location, inputs)
        self.tables.append(table.columns)
        number = len(self.tables) - 1
        kind = f"{table.kind.name}'s table, " if table.kind.signs else ""
        say(f"{location}: {kind}{len(names):,} files")
        pieces = table.pieces()
        return [MidiSource(_joined(root, name), name, root, number, row, pieces[row]) for row, name in enumerate(names)]


def _searched(location: str, inputs: Inputs) -> list[MidiSource]:
    """The files of a source that is no table."""
    if is_midi_name(location) and inputs.exists(location):
        root, names = folder_of(location), [PurePosixPath(location).name]
    elif (is_s3(location) and not is_pattern(location)) or Path(location).is_dir():
        root, names = location, in_folder(location, inputs.s3)
        _hint_at_tables(location)
    elif is_pattern(location):
        root, names = matching(location, inputs.s3)
    else:
        raise JobError(
            f"{location}: there is no such folder, {' or '.join(SUFFIXES)} file or table"
            if not Path(location).exists()
            else f"{location}: neither a folder, nor a {' or '.join(SUFFIXES)} file, nor a table of files"
        )
    if not names:
        raise JobError(f"{location} holds no {' or '.join(SUFFIXES)} files")
    return [MidiSource(_joined(root, name), name, root) for name in names]


def _hint_at_tables(location: str) -> None:
    """Say which tables of a local folder could be given in its place."""
    for path in [] if is_s3(location) else sorted(Path(location).iterdir()):
        if path.suffix.lower() == ".csv" and path.is_file() and (kind := kind_of_csv(path)) is not None and kind.signs:
            say(f"{path} is {kind.name}'s table: give it in place of its folder, and its columns are carried along")


def _placed(table: DatasetTable, root: str, location: str, inputs: Inputs) -> list[str]:
    """The paths below a root of a table's files; some tables lie one folder above what they name, or elsewhere."""
    missing = [name for name in table.midi if is_s3(root) or not inputs.exists(_joined(root, name))]
    if not missing:
        return list(table.midi)
    there = in_folder(root, inputs.s3) if is_s3(root) or Path(root).is_dir() else []
    places = _by_ending(missing, there)
    if len(missing) == len(table.midi) and not places:
        raise JobError(
            f"{location}: none of the {len(missing):,} MIDI files that it names is in {root}, the first being "
            f"{missing[0]!r}; say with --midi-root where they are"
        )
    return [places.get(name, name) for name in table.midi]


def _by_ending(names: Sequence[str], there: Sequence[str]) -> Mapping[str, str]:
    """Which of the paths that are there each name is: itself, or the one that ends with it."""
    wanted: dict[str, list[str]] = {}
    for name in names:
        wanted.setdefault(PurePosixPath(name).name, []).append(name)
    found: dict[str, str] = {}
    for path in there:
        for name in wanted.get(PurePosixPath(path).name, ()):
            if path == name or (path.endswith(f"/{name}") and found.get(name) != name):
                found[name] = path
    return found


def _joined(root: str, name: str) -> str:
    return name if is_s3(name) or name.startswith("/") else f"{root.rstrip('/')}/{name}"
