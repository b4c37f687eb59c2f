"""One recording to its prompts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs
from jobs.prompts.candidates import Candidates, OffsetError, places_by_ear, places_by_midi
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.prompt_clip import PromptClip, reason_of
from jobs.prompts.recordings import Recording
from jobs.storage import S3Access
from renderer.audio.audio_file import audio_length
from renderer.errors import PromptError, RendererError
from renderer.evaluation.transcriber import TRANSCRIBERS, Transcriber

Row = dict[str, Any]


@dataclass(frozen=True)
class Cut:
    """What came of a recording: rows of the bank, and rows of what was refused."""

    prompts: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Cutter:
    """Cuts recordings, and writes their clips into a folder; in any process."""

    options: MakeOptions
    clips: Path

    def __call__(self, recording: Recording) -> Cut:
        """The prompts of a recording, and what of it was refused and why."""
        cut = Cut()

        def refuse(reason: Exception, start: float | None = None) -> None:
            late = reason.late if isinstance(reason, OffsetError) else None
            row = {"recording": recording.audio, "start_s": start, "late_s": late, "reason": reason_of(reason)}
            cut.refused.append(row)

        inputs = Inputs(s3=S3Access(self.options.s3_endpoint_url))
        try:
            with _one_thread():
                audio = inputs.local(recording.audio)
                rate, seconds = audio_length(audio)
                found = self._places(recording, audio, rate, seconds, inputs)
                for place in found.places:
                    if len(cut.prompts) == self.options.per_recording:
                        break
                    try:
                        clip = PromptClip.cut(self._prompt_id(recording, len(cut.prompts) + 1), audio, rate, place)
                    except PromptError as error:
                        refuse(error, place.start)
                        continue
                    clip.write(self.clips)
                    cut.prompts.append(self._row(clip, recording, found))
        except (RendererError, InputError) as error:
            refuse(error)
        return cut

    def _prompt_id(self, recording: Recording, number: int) -> str:
        return recording.name if self.options.per_recording == 1 else f"{recording.name}-{number}"

    def _places(self, recording: Recording, audio: Path, rate: int, seconds: float, inputs: Inputs) -> Candidates:
        options = self.options
        if recording.lacks:
            raise PromptError(recording.lacks)
        if recording.midi:
            return places_by_midi(audio, seconds, inputs.local(recording.midi), options.per_recording, options.align)
        if options.transcriber == "none":
            raise PromptError("it has no MIDI of its name beside it; give --midi FOLDER, or a --transcriber")
        return places_by_ear(audio, seconds, rate, options.per_recording, _transcriber(options.transcriber))

    def _row(self, clip: PromptClip, recording: Recording, found: Candidates) -> Row:
        folder = self.options.clips.name
        return {
            "prompt_id": clip.prompt_id,
            "audio": f"{folder}/{clip.prompt_id}.flac",
            "midi": f"{folder}/{clip.prompt_id}.mid",
            "licence": recording.licence,
            "source": recording.source,
            "transcriber": None if recording.midi else self.options.transcriber,
            "recording": recording.audio,
            "late_s": None if found.late is None else round(found.late, 3),
            **clip.facts(),
        }


@cache
def _transcriber(name: str) -> Transcriber:
    return TRANSCRIBERS[name]()


@contextmanager
def _one_thread() -> Iterator[None]:
    """On one thread: processes share the cores, and their number must not change the last bit of a measure."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
