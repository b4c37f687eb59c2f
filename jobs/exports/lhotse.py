"""Manifests of ``lhotse``: recordings, and supervisions with the notes as their alignment."""

from typing import Any

from jobs.exports.card import CARD, Card
from jobs.exports.chosen import Chosen, ChosenShard
from jobs.exports.export_folder import ExportFolder
from jobs.exports.item_files import ItemFiles, audio_and_midi
from jobs.exports.line_files import LineFiles
from jobs.result_notes import notes_of
from renderer.midi.notes import Notes


class Lhotse:
    """``recordings_<split>.jsonl.gz`` and ``supervisions_<split>.jsonl.gz`` beside ``audio/`` and ``midi/``."""

    layout = (
        "`lhotse` reads it: `RecordingSet.from_file('recordings_train.jsonl.gz')` and "
        "`SupervisionSet.from_file('supervisions_train.jsonl.gz')`. Paths of the audio are those of the machine that "
        "made the export; where the folder was moved, change them with `RecordingSet.map`. A supervision has its notes "
        "as the alignment `note`: the symbol is the MIDI key, the score the velocity."
    )

    def __init__(self, chosen: Chosen, folder: ExportFolder) -> None:
        self._names = audio_and_midi(chosen.run)
        self._out = folder.out
        self._files, self._lines, self._folder = ItemFiles(chosen, folder, self._names), LineFiles(folder), folder

    def place(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        self._files.place(shard)

    def list(self, shard: ChosenShard) -> None:
        """See ``ExportFormat``."""
        rows = shard.rows.drop_columns(["notes"]).to_pylist()
        for row, split, notes in zip(rows, shard.splits, map(notes_of, shard.rows["notes"]), strict=True):
            audio, midi = self._names(row)
            self._lines.add(f"recordings_{split}.jsonl.gz", _recording(row, str(self._out / audio)))
            self._lines.add(f"supervisions_{split}.jsonl.gz", _supervision(row, str(self._out / midi), notes))

    def finish(self, card: Card) -> None:
        """See ``ExportFormat``."""
        self._lines.close()
        self._folder.write(CARD, card.text().encode())


def _recording(row: dict[str, Any], audio: str) -> dict[str, Any]:
    return {
        "id": row["item_id"],
        "sources": [{"type": "file", "channels": [0], "source": audio}],
        "sampling_rate": row["sample_rate"],
        "num_samples": row["samples"],
        "duration": row["duration_s"],
        "channel_ids": [0],
    }


def _supervision(row: dict[str, Any], midi: str, notes: Notes) -> dict[str, Any]:
    custom = {"midi": midi, "prompt_id": row["prompt_id"], "seed": row["seed"], "verdict": row.get("verdict")}
    return {
        "id": row["item_id"],
        "recording_id": row["item_id"],
        "start": 0.0,
        "duration": row["duration_s"],
        "channel": 0,
        "custom": custom,
        "alignment": {"note": _alignment(notes)},
    }


def _alignment(notes: Notes) -> list[tuple[str, float, float, float]]:
    """Symbol, start, duration and score of each note."""
    symbols = map(str, notes.pitch.tolist())
    return list(zip(symbols, notes.onset.tolist(), notes.duration.tolist(), notes.velocity.tolist(), strict=True))
