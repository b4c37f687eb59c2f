"""What prompts are cut from: recordings, and the MIDI that belongs to each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, absolute, folder_of, is_s3
from jobs.manifests.item_ids import ItemIds
from jobs.manifests.midi_files import SUFFIXES as MIDI_SUFFIXES
from jobs.prompts.make_options import MakeOptions
from schemas.prompt_recordings import read_prompt_recordings

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".caf", ".w64")


@dataclass(frozen=True)
class Recording:
    """A recording at an absolute location, ``name`` for its prompts, and its MIDI if there should be one.

    ``lacks`` says which MIDI was looked for in vain.
    """

    name: str
    audio: str
    midi: str | None = None
    licence: str | None = None
    source: str | None = None
    lacks: str | None = None


def find_recordings(options: MakeOptions, inputs: Inputs) -> list[Recording]:
    """The recordings of all sources, in order; JobError or TableError if there are none."""
    found: list[tuple[PurePosixPath, Recording]] = []
    for source in options.sources:
        location = absolute(source)
        if PurePosixPath(location).suffix.lower() in (".parquet", ".csv"):
            found += _of_table(location, inputs)
        elif is_s3(location):
            raise JobError(f"{location}: recordings on S3 are named by a table (.parquet or .csv)")
        else:
            found += _of_files(Path(location), options.midi)
    ids = ItemIds()
    names = [ids.of_file(str(path)) for path, _ in found]
    return [
        Recording(
            name,
            each.audio,
            each.midi,
            each.licence or options.licence,
            each.source or options.source,
            each.lacks,
        )
        for name, (_, each) in zip(names, found, strict=True)
    ]


def _of_table(location: str, inputs: Inputs) -> Iterator[tuple[PurePosixPath, Recording]]:
    folder = folder_of(location)
    for row in read_prompt_recordings(inputs.local(location)):
        audio, midi = _joined(folder, row.audio), row.midi and _joined(folder, row.midi)
        path = PurePosixPath(row.audio.removeprefix("s3://").lstrip("/").replace("..", ""))
        yield path, Recording("", audio, midi, row.licence, row.source)


def _of_files(place: Path, midi: Path | None) -> Iterator[tuple[PurePosixPath, Recording]]:
    """A recording, or those in a folder and all folders in it, with the MIDI of the same name."""
    if place.is_file():
        yield PurePosixPath(place.name), _beside(place, place.parent, midi)
        return
    if not place.is_dir():
        raise JobError(f"{place}: neither a recording, a folder of them, nor a table (.parquet or .csv)")
    paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    if not paths:
        raise JobError(f"{place} holds no recordings ({' '.join(AUDIO_SUFFIXES)})")
    for path in paths:
        yield PurePosixPath(path.relative_to(place)), _beside(path, place, midi)


def _beside(path: Path, folder: Path, midi: Path | None) -> Recording:
    """A recording with the MIDI of its name, that lies beside it or likewise in the folder ``midi``."""
    stem = path.with_suffix("") if midi is None else midi.absolute() / path.relative_to(folder).with_suffix("")
    # Names may hold dots: with_suffix would cut them.
    tried = [stem.with_name(stem.name + suffix) for suffix in (*MIDI_SUFFIXES, ".MID", ".MIDI")]
    match = next((str(each) for each in tried if each.is_file()), None)
    lacks = None if match or midi is None else f"there is no {stem.name}.mid in {stem.parent}"
    return Recording("", str(path), match, lacks=lacks)


def _joined(folder: str, name: str) -> str:
    return name if is_s3(name) or name.startswith("/") else f"{folder.rstrip('/')}/{name}"
