"""Pianos in their settings: performances become recordings as a model would be asked to make them, and codes beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.codecs.codec import Codec
from renderer.errors import PromptError
from renderer.midi.notes import Notes
from renderer.pianos.action_noise import add_action_noise
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.piano import SAMPLE_RATE, Piano
from renderer.pianos.setting import Setting
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import OneByOne

SETTINGS_KEPT = 64


@dataclass(frozen=True)
class Condition:
    """A piano in a setting: what a prompt tells. Its id is ``piano@setting``, as grand@hall, or grand@drawn-0-7."""

    piano: str
    setting: str

    @property
    def id(self) -> str:
        """What prompts, manifests and corpora call it."""
        return f"{self.piano}@{self.setting}"

    @classmethod
    def from_id(cls, condition_id: str) -> "Condition":
        """The condition with this id; PromptError if it is none."""
        piano, at, setting = condition_id.rpartition("@")
        if not at:
            raise PromptError(f"{condition_id!r} is not a piano and a room, like grand@hall")
        return cls(piano, setting)


class Studio(OneByOne):
    """Sampled pianos in their settings, in place of a model: a prompt's id is the condition to record under.

    ``codec``, if there is one, encodes what was recorded.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, pianos: Mapping[str, PianoFiles], codec: Codec | None = None) -> None:
        super().__init__()
        self._files = pianos
        self._pianos: dict[str, Piano] = {}
        self._codec = codec
        self._setting = lru_cache(SETTINGS_KEPT)(Setting.named)

    def prompt(self, prompt_id: str) -> Prompt:
        """A prompt that names a condition and holds nothing; PromptError if it names none."""
        condition = Condition.from_id(prompt_id)
        if condition.piano not in self._files:
            raise PromptError(f"no piano {condition.piano!r}: there are {', '.join(self._files)}")
        try:
            self._setting(condition.setting)
        except ValueError as error:
            raise PromptError(str(error)) from None
        return Prompt(prompt_id, torch.zeros(0, 0, dtype=torch.int64), Notes.none())

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        """A sampled piano cannot sound like a recording: PromptError."""
        raise PromptError(f"{audio}: sampled pianos are chosen by name, not by a recording")

    def rendering(self, request: RenderRequest) -> Rendering:
        """Play and record a request; the seed decides the background noise, and what a drawn player makes of it."""
        condition = Condition.from_id(request.prompt.prompt_id)
        setting = self._setting(condition.setting)
        notes = setting.player.play(request.performance.notes, request.seed)
        duration = notes.end + request.tail
        dry = self._piano(condition.piano).play(notes, round(duration * SAMPLE_RATE), setting.voicing)
        add_action_noise(dry, notes, setting.voicing)
        samples = setting.room.record(dry, request.seed)
        return Rendering(
            item_id=request.item_id,
            samples=samples,
            sample_rate=SAMPLE_RATE,
            duration=duration,
            notes=notes,
            report=request.performance.report,
            segments=1,
            seed=request.seed,
            prompt_id=condition.id,
            codes=None if self._codec is None else encode(self._codec, samples),
        )

    def _piano(self, name: str) -> Piano:
        if name not in self._pianos:
            self._pianos[name] = self._files[name].open()
        return self._pianos[name]


@torch.inference_mode()
def encode(codec: Codec, samples: FloatSamples) -> NDArray[np.uint16]:
    """The codes (K, T) of mono audio (N,) at the codec's rate."""
    return codec.encode(torch.from_numpy(samples)[None])[0].cpu().numpy().astype(np.uint16)
