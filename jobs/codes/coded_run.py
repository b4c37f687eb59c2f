"""A run that keeps codes, read back: what each of its items is decoded from, and with which codec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inputs.run_model import find_run_model
from jobs.output.codes_archive import stored_codes
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, Storage, open_storage
from renderer.audio.loudness import Level
from renderer.codes_decoder import CodesDecoder
from renderer.equalizer import Equalizer
from renderer.midi.notes import NoteReport, Notes
from renderer.rendering import Rendering
from renderer.segments import SegmentCodes
from renderer.weights.checkpoint import ModelDescription
from schemas.marker import Marker
from schemas.run import Run

ITEM_FACTS = ("item_id", "status", "seed", "prompt_id", "codes_path", "equalizer_db")


@dataclass(frozen=True, eq=False)
class CodedRun:
    """A run with layout ``codes``, and the model that it was rendered with."""

    directory: RunDirectory
    run: Run
    model: ModelDescription

    @classmethod
    def open(cls, location: str, model: str | None = None, access: S3Access | None = None) -> "CodedRun":
        """Find a run, and its model: at hand, or in the directory that is given. JobError if either is not there."""
        access = access or S3Access()
        directory = RunDirectory(open_storage(location, access))
        run = directory.begun()
        if run.settings.layout != "codes":
            raise JobError(f"{directory.storage.uri} has the layout {run.settings.layout}; codes are in --layout codes")
        found = find_run_model(run, model, Inputs(s3=access))
        if found is None:
            raise JobError(f"{directory.storage.uri}: the model {run.model_id} is not at hand: give --model DIR")
        return cls(directory, run, found)

    @property
    def storage(self) -> Storage:
        """Where the run lies."""
        return self.directory.storage

    def decoder(self, device: str | None = None) -> CodesDecoder:
        """The codec, in the run's precision; on the kind of device that rendered it, if no other is named."""
        settings = self.run.settings
        return CodesDecoder.load(self.model, device=device or settings.device, precision=settings.precision)


class ItemDecoder:
    """Decodes items as a run would have written them: at its rate and its level."""

    def __init__(self, run: Run, decoder: CodesDecoder) -> None:
        self._run, self._decoder = run, decoder
        self._level = Level(run.settings.loudness, run.settings.peak)

    def rendering(
        self, row: Mapping[str, Any], notes: Notes, segments: Sequence[SegmentCodes], duration: float | None = None
    ) -> Rendering:
        """An item's audio, from its result row, its notes and its codes; of its first segments so many seconds."""
        if duration is None:
            duration = notes.end + self._run.settings.tail
        equalizer = Equalizer(tuple(row.get("equalizer_db") or ()))
        original = Rendering(
            item_id=row["item_id"],
            samples=equalizer.apply(self._decoder.decode(segments, notes, duration), self._decoder.sample_rate),
            sample_rate=self._decoder.sample_rate,
            duration=duration,
            notes=notes,
            report=NoteReport(),
            segments=len(segments),
            seed=row["seed"],
            prompt_id=row["prompt_id"],
            equalizer=equalizer,
        )
        return original.resampled(self._run.settings.sample_rate).levelled(self._level)


def item_facts(rows: pa.Table) -> list[dict[str, Any]]:
    """What :class:`ItemDecoder` takes of result rows; some versions have not written all of it."""
    return rows.select([name for name in ITEM_FACTS if name in rows.column_names]).to_pylist()


def read_codes(storage: Storage, marker: Marker) -> dict[str, Sequence[SegmentCodes]]:
    """The codes of a finished shard's items, by their ``codes_path``."""
    codes: dict[str, Sequence[SegmentCodes]] = {}
    for stored in marker.objects:
        with storage.open(stored.key) as file:
            codes |= {f"{stored.key}#{item_id}": segments for item_id, segments in stored_codes(file)}
    return codes
