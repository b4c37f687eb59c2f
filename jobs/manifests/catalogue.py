"""The files of a manifest to be, each with its id and what tables say of it, before one is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jobs.console import say
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, is_s3
from jobs.manifests.build_options import BuildOptions
from jobs.manifests.item_ids import ItemIds
from jobs.manifests.material import Material, MidiSource
from jobs.manifests.metadata import MIDI, PIECE, SPLIT, Carried, Metadata
from jobs.manifests.splits import BY_METADATA

BY_FOLDER = "folder"


class ListedFile(NamedTuple):
    """A file to read: its location, its id, how the manifest names it, what is played; what a table says else."""

    location: str
    item_id: str
    midi: str
    piece: str
    split: str | None
    prompt: str | None


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The files, and the tables' columns for them; ``roots`` are the local folders outside the manifest's own."""

    files: Sequence[ListedFile]
    carried: Carried
    ids: ItemIds
    has_splits: bool
    roots: Sequence[str]

    @classmethod
    def of(cls, options: BuildOptions, inputs: Inputs, folder: str) -> "Catalogue":
        """The files of the options' sources, for a manifest in ``folder``. JobError if there are none."""
        material = Material.of(options.sources, options.midi_root, inputs)
        named = _nameable(material.files, [_reference(file, folder) for file in material.files])
        material.files = [file for file, _ in named]
        metadata, ids = Metadata(material), ItemIds()
        several = options.excerpt is not None or options.changed_copies > 0 or options.prompts_each > 1
        item_ids = [ids.of_file(file.name, has_suffixes=several) for file in material.files]
        splits = _splits(options, metadata)
        nothing: list[str | None] = [None] * len(item_ids)
        columns = zip(
            [file.location for file in material.files],
            item_ids,
            [name for _, name in named],
            _pieces(options, metadata, material.files, item_ids),
            splits or nothing,
            nothing if options.prompt_column is None else metadata.of_files(options.prompt_column, "--prompt-column"),
            strict=True,
        )
        return cls(
            [ListedFile(*values) for values in columns],
            metadata.carried({MIDI, *([SPLIT] if splits else []), *([] if options.piece else [PIECE])}),
            ids,
            splits is not None,
            _roots_outside(material.files, folder),
        )


def _splits(options: BuildOptions, metadata: Metadata) -> list[str | None] | None:
    """Each file's split as tables say; None if that is not asked for."""
    if options.split == BY_METADATA:
        return metadata.of_files(SPLIT, "--split metadata:")
    return metadata.of_files(SPLIT, "") if options.split is None and SPLIT in metadata.names else None


def _pieces(
    options: BuildOptions, metadata: Metadata, files: Sequence[MidiSource], item_ids: Sequence[str]
) -> list[str]:
    """What each file is a rendering of; by itself, if nothing says so."""
    if options.piece is None:
        pieces: list[str | None] = [file.piece for file in files]
    elif options.piece == BY_FOLDER:
        pieces = [str(PurePosixPath(file.name).parent) for file in files]
    else:
        pieces = metadata.of_files(options.piece, "--piece")
    return [piece if piece and piece != "." else item_id for piece, item_id in zip(pieces, item_ids, strict=True)]


def _reference(file: MidiSource, folder: str) -> str:
    """How a manifest in a folder names a file."""
    if is_s3(file.location) or is_s3(folder):
        return file.location
    return Path(os.path.relpath(file.location, folder)).as_posix()


def _roots_outside(files: Sequence[MidiSource], folder: str) -> list[str]:
    """The sources that have local files outside a folder. Folders are resolved, not files."""
    inside = Path(folder).resolve()
    roots = {(file.root, file.location.rpartition("/")[0]) for file in files if not is_s3(file.location)}
    return sorted({root for root, parent in roots if not Path(parent or "/").resolve().is_relative_to(inside)})


def _nameable(files: Sequence[MidiSource], midi: Sequence[str]) -> list[tuple[MidiSource, str]]:
    """The files with their paths in the manifest, where these are UTF-8, as text in Parquet must be."""
    good = [(file, name) for file, name in zip(files, midi, strict=True) if _is_utf8(name)]
    if left_out := [name for name in midi if not _is_utf8(name)]:
        first = os.fsencode(left_out[0])
        say(f"warning: {len(left_out):,} file(s) left out, whose names are not UTF-8: {first!r}")
    if not good:
        raise JobError("no file is left that a manifest could name")
    return good


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
