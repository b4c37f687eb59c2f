"""Where what a report lets people hear of items comes from: files of audio, or codes that are decoded."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from jobs.codes.coded_run import ItemDecoder
from jobs.errors import InputError
from jobs.inputs.inputs import is_s3
from jobs.inputs.run_model import find_run_model
from jobs.inspect.item_rows import Row
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.output.codes_archive import item_codes
from jobs.output.layouts import item_audio
from jobs.storage import Storage
from renderer.audio.audio_file import write_audio
from renderer.codes_decoder import CodesDecoder
from renderer.midi.notes import Notes
from renderer.segments import SegmentCodes

DECODED_SECONDS = 60.0
"""So much of an item is decoded, up to the end of a segment: a report must not take longer than a run."""


@dataclass(frozen=True)
class ItemSounds:
    """Opens items of the run that ``prompts`` are of; several threads may."""

    storage: Storage
    prompts: PromptRecordings
    _lock: Lock = field(default_factory=Lock)

    def open(self, row: Row, notes: Notes) -> BinaryIO:
        """An item as an audio file, to be closed; of one that is kept as codes its first minute or so.

        JobError or RendererError if it is not to be had.
        """
        layout = self.prompts.run.settings.layout
        return self._decoded(row, notes) if layout == "codes" else item_audio(self.storage, layout, row["audio_path"])

    def _decoded(self, row: Row, notes: Notes) -> BinaryIO:
        key, _, item_id = row["codes_path"].partition("#")
        with self.storage.open_parts(key) as file:
            segments = item_codes(file, item_id)
        with self._lock:  # All cores are at work on one already.
            codec, items = self._decoders
            first = _first(segments, round(DECODED_SECONDS * codec.frame_rate))
            seconds = None if len(first) == len(segments) else first[-1].end / codec.frame_rate
            rendering = items.rendering(row, notes, first, seconds)
        content = io.BytesIO()
        write_audio(content, rendering.samples, rendering.sample_rate, "wav-float")
        content.seek(0)
        return content

    @cached_property
    def _decoders(self) -> tuple[CodesDecoder, ItemDecoder]:
        """Of the run's codec, on the CPU: it is where reports are made, and what it changes cannot be heard."""
        run, given = self.prompts.run, self.prompts.model
        is_place = given is not None and (is_s3(given) or Path(given).is_dir())
        model = find_run_model(run, given if is_place else None, self.prompts.inputs)
        if model is None:
            raise InputError(f"kept as codes of the model {run.model_id}: say where that is with report --model")
        precision = run.settings.precision if run.settings.device == "cpu" else "auto"
        codec = CodesDecoder.load(model, device="cpu", precision=precision)
        return codec, ItemDecoder(run, codec)


def _first(segments: Sequence[SegmentCodes], frames: int) -> Sequence[SegmentCodes]:
    """The segments that begin before a frame, at least one."""
    return [segment for segment in segments if segment.keep < frames] or segments[:1]
