"""The layouts of a run directory, by name: where audio lies, how it is written and read, what cannot be kept so."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from jobs.errors import UnavailableError
from jobs.output.archive_writer import ArchiveWriter
from jobs.output.codes_archive import CodesWriter
from jobs.output.parquet_archive import AUDIO, CODES, MIDI, parquet_audio, parquet_member, write_parquet
from jobs.output.tar_archive import tar_member, tar_members, write_tar
from jobs.output.writers import FilesWriter, ItemEncoder, MeasuringWriter, Writer
from jobs.storage import Storage
from renderer.audio.audio_file import AudioFormat
from schemas.checks import Problems
from schemas.manifest import ITEM_ID, Manifest, ManifestError
from schemas.run import RunSettings


@dataclass(frozen=True)
class Layout:
    """A layout. ``audio_folder`` is None where no audio is kept.

    ``members`` gives an archive's audio files with their names, and ``member`` the one of a name, if there is one; both
    are None where every item has a file of its own.

    ``writer`` makes the writer of a shard from the name that its objects have; ``check`` finds what in a manifest does
    not fit.
    """

    audio_folder: str | None
    writer: Callable[[Storage, ItemEncoder, str], Writer]
    members: Callable[[BinaryIO], Iterator[tuple[str, bytes]]] | None = None
    member: Callable[[BinaryIO, str], bytes | None] | None = None
    check: Callable[[Manifest, Problems], None] = lambda manifest, problems: None


def _check_names(manifest: Manifest, problems: Problems) -> None:
    row = 0
    for batch in manifest.batches(ITEM_ID):
        for place, item_id in enumerate(batch.column(0).to_pylist(), row):
            if "." in str(item_id):
                problems.row(ITEM_ID.name, "holds a dot, at which WebDataset cuts names (see --layout)", place, item_id)
        row += len(batch)


def _check_columns(manifest: Manifest, problems: Problems) -> None:
    for name in (AUDIO, MIDI, CODES):
        if name in manifest.schema.names:
            problems.column(name, "would clash with a column of --layout parquet; rename it")


LAYOUTS = {
    "files": Layout("audio", FilesWriter),
    "webdataset": Layout(
        "shards",
        lambda storage, encoder, name: ArchiveWriter(storage, f"shards/{name}.tar", encoder, write_tar),
        tar_members,
        tar_member,
        _check_names,
    ),
    "parquet": Layout(
        "shards",
        lambda storage, encoder, name: ArchiveWriter(storage, f"shards/{name}.parquet", encoder, write_parquet),
        parquet_audio,
        parquet_member,
        _check_columns,
    ),
    "codes": Layout(None, lambda storage, encoder, name: CodesWriter(storage, f"shards/{name}.parquet")),
    "none": Layout(None, lambda storage, encoder, name: MeasuringWriter()),
}


def open_writer(storage: Storage, settings: RunSettings, name: str) -> Writer:
    """The writer of a shard, whose objects are its own: ``name`` is unique to the attempt."""
    encoder = ItemEncoder(cast(AudioFormat, settings.format), settings.save_codes, settings.id_separator)
    return LAYOUTS[settings.layout].writer(storage, encoder, name)


def stored_audio(layout: str, key: str, file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    """The audio files in an object of a run, each with the ``audio_path`` that its result row has."""
    members = LAYOUTS[layout].members
    if members is None:
        yield key, file
        return
    for name, content in members(file):
        yield f"{key}#{name}", io.BytesIO(content)


def item_audio(storage: Storage, layout: str, audio_path: str) -> BinaryIO:
    """The audio file that a result row's ``audio_path`` leads to; StorageError if it is not there.

    Of an archive on S3 little more is fetched than that.
    """
    key, member = key_of(layout, audio_path), LAYOUTS[layout].member
    file = storage.open_parts(key)
    if member is None:
        return file
    with file:
        found = member(file, audio_path.partition("#")[2])
    if found is None:
        raise UnavailableError(f"{storage.uri}/{key} holds no {audio_path.partition('#')[2]}")
    return io.BytesIO(found)


def key_of(layout: str, audio_path: str) -> str:
    """The key of the object that a result row's ``audio_path`` leads to."""
    return audio_path if LAYOUTS[layout].members is None else audio_path.partition("#")[0]


def check_layout(manifest: Manifest, layout: str) -> None:
    """ManifestError if the manifest's ids or columns do not fit the layout."""
    problems = Problems()
    LAYOUTS[layout].check(manifest, problems)
    if problems:
        raise ManifestError(str(manifest.path), list(problems))
