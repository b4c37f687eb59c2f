"""Items as files of their own in an export: audio linked where it can be, and a MIDI file of the notes."""

from collections.abc import Callable
from typing import Any, cast

from jobs.exports.chosen import Chosen, ChosenShard, stem_of
from jobs.exports.export_folder import ExportFolder
from jobs.output.audio_reader import AudioReader
from jobs.result_notes import notes_of
from renderer.audio.audio_file import AudioFormat, audio_suffix
from renderer.midi.midi_file import midi_bytes
from schemas.run import Run

Row = dict[str, Any]
Names = Callable[[Row], tuple[str, str]]
"""The names of an item's audio and of its MIDI file in an export."""


class ItemFiles:
    """Places items under names that their rows give."""

    def __init__(self, chosen: Chosen, folder: ExportFolder, names: Names) -> None:
        self._chosen, self._folder, self._names = chosen, folder, names

    def place(self, shard: ChosenShard) -> None:
        """Put the files of a shard's items into the folder, as far as they are not there."""
        rows = shard.rows.drop_columns(["notes"]).to_pylist()
        with self._chosen.audio() as audio:
            for row, notes in zip(rows, map(notes_of, shard.rows["notes"]), strict=True):
                name, midi = self._names(row)
                if not self._folder.has(midi):
                    self._folder.write(midi, midi_bytes(notes))
                if not self._folder.has(name):
                    self._place_audio(name, str(row["audio_path"]), audio)

    def _place_audio(self, name: str, path: str, audio: AudioReader) -> None:
        if (source := audio.local_file(path)) is not None:
            self._folder.link(name, source)
        else:
            self._folder.write(name, audio.read(path))


def audio_and_midi(run: Run) -> Names:
    """Items as ``audio/<item_id>.flac`` and ``midi/<item_id>.mid``."""
    stem_of_id, suffix = stem_of(run), audio_suffix(cast(AudioFormat, run.settings.format))

    def names(row: Row) -> tuple[str, str]:
        stem = stem_of_id(str(row["item_id"]))
        return f"audio/{stem}{suffix}", f"midi/{stem}.mid"

    return names
