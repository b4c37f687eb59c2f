"""How much a run fills and how often it writes, by layout and format."""

from dataclasses import dataclass
from typing import get_args

from jobs.run.calibration import Calibration
from jobs.run.options import LayoutName
from jobs.storage.s3_storage import MULTIPART_BYTES, PART_BYTES
from schemas.run import Run

ROW_BYTES = 460
"""Of an item's result row and of its part in a marker: measured with a thousand items in shards of a hundred."""
SHARD_OBJECTS = 2
"""Result rows and a marker."""


@dataclass(frozen=True)
class StorageNeeds:
    """What ``seconds`` of audio of a run need, as far as a calibration tells it."""

    run: Run
    measured: Calibration
    seconds: float

    @property
    def layouts(self) -> tuple[str, ...]:
        """The layouts that there are."""
        return get_args(LayoutName)

    def size(self, layout: str, audio_format: str) -> int:
        """Bytes of all that the run writes."""
        measured = self.measured
        match layout:
            case "none":
                each_second = 0.0
            case "codes":
                each_second = measured.codes_bytes
            case _:
                each_second = measured.audio_bytes[audio_format] + measured.midi_bytes
                each_second += measured.codes_bytes if self.run.settings.save_codes else 0.0
        return round(self.seconds * each_second + ROW_BYTES * self.run.items)

    def requests(self, layout: str) -> int:
        """Requests that write to S3: every object, and the parts of large ones."""
        shards = len(self.run.shards)
        own = SHARD_OBJECTS * shards
        if layout == "none":
            return own
        if layout == "files":
            return own + self.run.items * (3 if self.run.settings.save_codes else 2)
        archive = self.size(layout, self.run.settings.format) // shards
        return own + shards * (1 if archive < MULTIPART_BYTES else 2 + -(-archive // PART_BYTES))
