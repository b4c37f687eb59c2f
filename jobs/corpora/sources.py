"""What a corpus is made from: folders and lists of MIDI files, or tables of recordings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, absolute, folder_of, is_s3
from jobs.manifests.midi_files import SUFFIXES
from jobs.storage import open_storage
from schemas.recordings import read_recordings


@dataclass(frozen=True)
class SourcePiece:
    """A performance of a source: absolute locations of its MIDI and, if it was recorded, of its recording."""

    midi: str
    piece: str
    audio: str | None = None
    condition: str | None = None
    split: str | None = None


def read_source(location: str, inputs: Inputs) -> list[SourcePiece]:
    """The performances of a source, sorted; JobError or TableError if it has none.

    A folder (or an S3 prefix) is searched with all in it. A ``.txt`` file lists MIDI files, one a line, and a
    ``.parquet`` file is a table of recordings; both name files relative to themselves.
    """
    location = absolute(location)
    suffix = PurePosixPath(location).suffix.lower()
    if suffix == ".parquet":
        pieces = _recorded(location, inputs)
    elif suffix == ".txt":
        lines = _lines(inputs.local(location))
        pieces = [_piece(_joined(folder_of(location), line)) for line in lines]
    else:
        pieces = [_piece(midi) for midi in _midi_in(location, inputs)]
    if not pieces:
        raise JobError(f"{location} holds no {' or '.join(SUFFIXES)} files")
    return sorted(pieces, key=lambda piece: (piece.midi, piece.audio or ""))


def names_held_out(path: Path | None) -> set[str]:
    """The file names that a list holds out, one a line; folders before them do not count."""
    if path is None:
        return set()
    try:
        return {PurePosixPath(line).name for line in _lines(path)}
    except OSError as error:
        raise JobError(f"--hold-out {path}: cannot be read: {error.strerror}") from None


def without(pieces: Sequence[SourcePiece], names: Collection[str]) -> list[SourcePiece]:
    """The performances whose MIDI files are not among these names, with or without their suffixes."""
    return [piece for piece in pieces if not {(path := PurePosixPath(piece.midi)).name, path.stem} & set(names)]


def _midi_in(location: str, inputs: Inputs) -> list[str]:
    if not is_s3(location) and not Path(location).is_dir():
        raise JobError(f"{location}: neither a folder, nor a .txt list of MIDI files, nor a .parquet table")
    keys = open_storage(location, inputs.s3).keys()
    return [f"{location.rstrip('/')}/{key}" for key in keys if PurePosixPath(key).suffix.lower() in SUFFIXES]


def _piece(midi: str) -> SourcePiece:
    return SourcePiece(midi, PurePosixPath(midi).stem)


def _recorded(location: str, inputs: Inputs) -> list[SourcePiece]:
    folder = folder_of(location)
    return [
        SourcePiece(
            midi=_joined(folder, row.midi),
            piece=row.piece or PurePosixPath(row.midi).stem,
            audio=_joined(folder, row.audio),
            condition=row.condition,
            split=row.split,
        )
        for row in read_recordings(inputs.local(location))
    ]


def _joined(folder: str, name: str) -> str:
    return name if is_s3(name) or name.startswith("/") else f"{folder.rstrip('/')}/{name}"


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
