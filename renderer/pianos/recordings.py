"""Recordings with the MIDI that was played: parts of them, in place of what a model would render."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from renderer.audio.audio_file import read_audio
from renderer.codecs.codec import Codec
from renderer.errors import AudioError, PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes, PedalPolicy
from renderer.pianos.studio import encode
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import notes_between
from renderer.steps import OneByOne

SHORTEST_SHARE = 0.99
"""A recording that ends before so much of a clip is not the MIDI's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording(Prompt):
    """A recording and its MIDI, which begin at the same moment."""

    audio: Path
    midi: Path


class RecordingRenderer(OneByOne):
    """Cuts recordings where requests say, at the rate that is wanted; ``codec``, if there is one, encodes them.

    Notes that were struck before a cut and still sound after it are labelled as the renderer labels those that are
    held over a joint: at the clip's beginning, as softly as they sound by then.
    """

    def __init__(self, sample_rate: int, pedal: PedalPolicy, codec: Codec | None = None) -> None:
        super().__init__()
        self.sample_rate, self._pedal, self._codec = sample_rate, pedal, codec

    def prompt(self, prompt_id: str) -> Prompt:
        """There are no prompts but recordings: PromptError."""
        raise PromptError(f"no prompt {prompt_id!r}: give a recording")

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        """The recording, to be cut."""
        return Recording(
            prompt_id or audio.stem, torch.zeros(0, 0, dtype=torch.int64), Notes.none(), audio=audio, midi=midi
        )

    def rendering(self, request: RenderRequest) -> Rendering:
        """The part of its recording that a request's performance is of; no tail is added to it.

        AudioError if the recording is shorter. Excerpts change nothing: what was recorded was recorded.
        """
        recording, start, end = request.prompt, request.performance.part.start, request.performance.part.end
        if not isinstance(recording, Recording) or end is None:
            raise PromptError(f"{request.item_id}: needs a recording, and where its clip ends")
        wanted = round((end - start) * self.sample_rate)
        samples = read_audio(recording.audio, self.sample_rate, start, end - start)[:wanted]
        if len(samples) < SHORTEST_SHARE * wanted:
            raise AudioError(f"{recording.audio}: ends {(wanted - len(samples)) / self.sample_rate:.2f} s too early")
        samples = np.pad(samples, (0, wanted - len(samples)))
        return Rendering(
            item_id=request.item_id,
            samples=samples,
            sample_rate=self.sample_rate,
            duration=end - start,
            notes=notes_between(read_midi(recording.midi, self._pedal).notes, start, end),
            report=request.performance.report,
            segments=1,
            seed=request.seed,
            prompt_id=recording.prompt_id,
            codes=None if self._codec is None else encode(self._codec, samples),
        )
