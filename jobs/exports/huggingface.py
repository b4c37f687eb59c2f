"""A data set for ``datasets``: Parquet with the audio in it, the splits named in the card's head."""

from typing import cast

import pyarrow as pa

from jobs.exports.card import CARD, Card
from jobs.exports.chosen import Chosen, ChosenShard
from jobs.exports.export_folder import ExportFolder
from jobs.output.archive_writer import OF_THE_ATTEMPT
from jobs.output.audio_reader import AudioReader
from jobs.output.parquet_archive import AUDIO, MIDI, write_parquet
from jobs.output.writers import Encoded, ItemEncoder
from jobs.result_notes import notes_of
from jobs.storage.local_storage import LocalStorage
from renderer.audio.audio_file import AudioFormat
from renderer.midi.midi_file import midi_bytes


class HuggingFace:
    """``data/<split>-<shard>.parquet``: what layout ``parquet`` has of these items, whatever the run's layout is.

    A shard of that layout on this machine, of which all items are chosen for one split, is linked, not copied.
    """

    layout = (
        "`datasets.load_dataset` reads it, from this folder or from the hub. Each row has its audio (`audio`), its "
        "notes (`notes`, and `midi_bytes` as a MIDI file), its measures, and the columns of the manifest."
    )

    def __init__(self, chosen: Chosen, folder: ExportFolder) -> None:
        self._chosen, self._folder = chosen, folder
        settings = chosen.run.settings
        self._encoder = ItemEncoder(cast(AudioFormat, settings.format), save_codes=False)
        self._is_the_same = settings.layout == "parquet" and not settings.save_codes

    def place(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        splits = list(dict.fromkeys(shard.splits))
        with self._chosen.audio() as audio:
            for split in splits:
                name = f"data/{split}-{shard.marker.shard:05d}.parquet"
                if self._folder.has(name):
                    continue
                if len(splits) == 1 and self._link(shard, name):
                    continue
                self._write(name, shard.of_split(split), audio)

    def list(self, shard: ChosenShard) -> None:
        """Nothing: the files are found by their names."""

    def finish(self, card: Card) -> None:
        """See ``ExportFormat``."""
        data_files = {split: f"data/{split}-*.parquet" for split in card.survey.order}
        self._folder.write(CARD, card.text(card.head(data_files)).encode())

    def _link(self, shard: ChosenShard, name: str) -> bool:
        storage, objects = self._chosen.directory.storage, shard.marker.objects
        if not (self._is_the_same and shard.is_whole and len(objects) == 1 and isinstance(storage, LocalStorage)):
            return False
        self._folder.link(name, storage.file(objects[0].key))
        return True

    def _write(self, name: str, rows: pa.Table, audio: AudioReader) -> None:
        ids, paths = (rows[column].to_pylist() for column in ("item_id", "audio_path"))
        items = zip(ids, paths, map(notes_of, rows["notes"]), strict=True)

        def read(item_id: str) -> Encoded:
            following, path, notes = next(items)
            assert following == item_id  # It asks for the rows in their order.
            return Encoded(audio.read(str(path)), midi_bytes(notes), None, 0)

        # A manifest for other layouts may have columns of these names.
        names = [f"manifest_{column}" if column in (AUDIO, MIDI) else column for column in rows.column_names]
        with self._folder.open(name) as file:
            write_parquet(file, rows.rename_columns(names).drop_columns(list(OF_THE_ATTEMPT)), read, self._encoder)
