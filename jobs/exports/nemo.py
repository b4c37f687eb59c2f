"""Manifests of NVIDIA NeMo: JSON lines with the path and the length of each audio file."""

from jobs.exports.card import CARD, Card
from jobs.exports.chosen import Chosen, ChosenShard
from jobs.exports.export_folder import ExportFolder
from jobs.exports.item_files import ItemFiles, audio_and_midi
from jobs.exports.line_files import LineFiles


class Nemo:
    """``<split>_manifest.jsonl`` beside ``audio/`` and ``midi/``."""

    layout = (
        "`train_manifest.jsonl` is a manifest of NeMo: a line for each item, with `audio_filepath` relative to the "
        "manifest, `duration` in seconds, `text` (empty: nobody speaks), and the item's MIDI file in `midi_filepath`."
    )

    def __init__(self, chosen: Chosen, folder: ExportFolder) -> None:
        self._names = audio_and_midi(chosen.run)
        self._files, self._lines, self._folder = ItemFiles(chosen, folder, self._names), LineFiles(folder), folder

    def place(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        self._files.place(shard)

    def list(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        for row, split in zip(shard.rows.drop_columns(["notes"]).to_pylist(), shard.splits, strict=True):
            audio, midi = self._names(row)
            entry = {"audio_filepath": audio, "duration": row["duration_s"], "text": "", "midi_filepath": midi}
            more = {name: row.get(name) for name in ("item_id", "sample_rate", "prompt_id", "verdict")}
            self._lines.add(f"{split}_manifest.jsonl", entry | more)

    def finish(self, card: Card) -> None:
        """See ``ExportFormat``."""
        self._lines.close()
        self._folder.write(CARD, card.text().encode())
