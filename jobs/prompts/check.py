"""``midi-valle prompts check``: what a renderer would say of each prompt, before a run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jobs.errors import InputError
from jobs.prompts.prompt_clip import SoundFacts, reason_of
from jobs.prompts.sources import PromptFiles
from renderer.errors import RendererError
from renderer.weights.checkpoint import ModelDescription


@dataclass(frozen=True)
class Checked:
    """What is said of a prompt, and whether it would be refused."""

    prompt_id: str
    is_refused: bool
    said: str


def check_prompts(prompts: Iterable[PromptFiles], model: ModelDescription) -> Iterator[Checked]:
    """Check each prompt as the model's renderer would."""
    for files in prompts:
        prompt_id = files.prompt.prompt_id
        try:
            samples, notes = files.read(model)
        except (RendererError, InputError) as error:
            yield Checked(prompt_id, True, f"refused: {reason_of(error)}")
            continue
        sound = SoundFacts.of(samples, model.sample_rate)
        level = f"{sound.rms:.0f} dBFS, peak {sound.peak:.0f}, noise {sound.noise:.0f} at most"
        yield Checked(
            prompt_id, False, f"good: {len(notes)} notes, {level}; licence: {files.prompt.licence or 'not stated'}"
        )
