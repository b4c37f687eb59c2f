"""The layouts of a run directory, by name."""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from jobs.output.archive_writer import ArchiveWriter
from jobs.output.parquet_archive import AUDIO, CODES, MIDI, parquet_audio, write_parquet
from jobs.output.tar_archive import tar_members, write_tar
from jobs.output.writers import Encoder, FilesWriter, MeasuringWriter, Writer
from jobs.storage import Storage
from renderer.audio.audio_file import AudioFormat
from schemas.checks import Problems
from schemas.manifest import ITEM_ID, Manifest, ManifestError
from schemas.run import RunSettings


def open_writer(storage: Storage, settings: RunSettings, name: str) -> Writer:
    """The writer of a shard, whose objects are its own: ``name`` is unique to the attempt."""
    encoder = Encoder(cast(AudioFormat, settings.format), settings.save_codes)
    match settings.layout:
        case "files":
            return FilesWriter(storage, encoder, name, settings.id_separator)
        case "webdataset":
            return ArchiveWriter(storage, f"shards/{name}.tar", encoder, write_tar)
        case "parquet":
            return ArchiveWriter(storage, f"shards/{name}.parquet", encoder, write_parquet)
        case "none":
            return MeasuringWriter()
    raise ValueError(f"layout {settings.layout!r} is unknown")


def stored_audio(layout: str, key: str, file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    """The audio files in an object of a run, each with the ``audio_path`` that its result row has."""
    match layout:
        case "webdataset":
            members = tar_members(file)
        case "parquet":
            members = parquet_audio(file)
        case _:
            yield key, file
            return
    for name, content in members:
        yield f"{key}#{name}", io.BytesIO(content)


def key_of(layout: str, audio_path: str) -> str:
    """The key of the object that a result row's ``audio_path`` leads to."""
    return audio_path if layout == "files" else audio_path.partition("#")[0]


def check_layout(manifest: Manifest, layout: str) -> None:
    """ManifestError if the manifest's ids or columns do not fit the layout."""
    problems = Problems()
    if layout == "webdataset":
        row = 0
        for batch in manifest.batches(ITEM_ID):
            for place, item_id in enumerate(batch.column(0).to_pylist(), row):
                if "." in str(item_id):
                    problems.row(
                        ITEM_ID.name, "holds a dot, at which WebDataset cuts names (see --layout)", place, item_id
                    )
            row += len(batch)
    if layout == "parquet":
        for name in (AUDIO, MIDI, CODES):
            if name in manifest.schema.names:
                problems.column(name, "would clash with a column of --layout parquet; rename it")
    if problems:
        raise ManifestError(str(manifest.path), list(problems))
