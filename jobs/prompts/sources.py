"""The prompts of a bank, or those that come with a model, wherever their files are."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.inputs.inputs import Inputs, absolute, folder_of, is_s3
from renderer.audio.audio_file import FloatSamples
from renderer.errors import PromptError
from renderer.midi.notes import Notes
from renderer.prompt import checked_prompt, read_prompt
from renderer.weights.checkpoint import ModelDescription
from schemas.prompts import BankPrompt, read_prompt_bank


@dataclass(frozen=True)
class PromptFiles:
    """A prompt's row, and where what it names is looked for; ``folder`` is that of its bank."""

    prompt: BankPrompt
    folder: str
    inputs: Inputs
    taken: bool = False

    def read(self, model: ModelDescription) -> tuple[FloatSamples, Notes]:
        """3 s of mono audio at a model's rate and their notes, checked as its renderer does; InputError if not there.

        PromptError, AudioError or MidiError say why a renderer would refuse it.
        """
        if self.taken:
            raise PromptError(f"{model.name} comes with a prompt of this id; rename it")
        audio, midi = (self.inputs.local(name, self.folder) for name in (self.prompt.audio, self.prompt.midi))
        samples, notes = read_prompt(self.prompt.prompt_id, audio, midi, model.sample_rate, model.pedal)
        return checked_prompt(self.prompt.prompt_id, samples, model.sample_rate, notes)


def find_prompts(bank: str | None, model: ModelDescription, inputs: Inputs) -> Iterator[PromptFiles]:
    """The prompts of a bank, or without one the model's own; TableError if it is none."""
    if bank is None:
        folder = str(model.folder / "prompts")
        for prompt_id in model.prompt_ids:
            prompt = BankPrompt(
                prompt_id, f"{prompt_id}.wav", f"{prompt_id}.mid", model.licence, f"comes with {model.name}"
            )
            yield PromptFiles(prompt, folder, inputs)
        return
    location = absolute(bank)
    folder = folder_of(location)
    roots = () if is_s3(folder) else (os.path.realpath(folder),)
    own = Inputs(roots, inputs.s3)
    for prompt in read_prompt_bank(Path(inputs.local(location))).values():
        yield PromptFiles(prompt, folder, own, taken=prompt.prompt_id in model.prompt_ids)
