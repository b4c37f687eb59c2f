"""The renderer as a run sees it: described once by the driver, loaded once by each actor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from renderer.decoding.batch_size import BatchPlan
from renderer.decoding.schedule import Occupancy
from renderer.midi.notes import PedalPolicy
from renderer.prompt import Prompt
from renderer.steps import StepRenderer


@dataclass(frozen=True)
class ModelFacts:
    """What a run needs to know of a model before it is loaded."""

    model_id: str
    model_hash: str
    prompt_ids: tuple[str, ...]
    pedal: PedalPolicy
    licence: str
    sample_rate: int


class CorpusRenderer(StepRenderer, Protocol):
    """What an actor needs of a renderer; ``renderer.Renderer`` is one.

    ``batch_plan`` and ``batch_size`` say how many segments are generated side by side: as planned, and by now. They are
    None for a renderer without a batch, whose ``occupancy`` counts no steps.
    """

    @property
    def batch_plan(self) -> BatchPlan | None:
        """How many segments were to be generated side by side, and what they need."""
        ...

    @property
    def batch_size(self) -> int | None:
        """How many are: less than was planned where memory has run out."""
        ...

    @property
    def occupancy(self) -> Occupancy:
        """How many steps the batch made so far, and how many of them served a segment."""
        ...

    def prompt(self, prompt_id: str) -> Prompt:
        """A prompt that comes with the model."""
        ...

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        """A prompt from a recording and its MIDI."""
        ...


class Backend(Protocol):
    """Describes and loads a renderer. It travels to the actors, so it must be picklable."""

    def describe(self) -> ModelFacts:
        """The model, without loading it."""
        ...

    def load(self, device: str) -> CorpusRenderer:
        """The renderer on this process's device, ``cpu`` or ``cuda``."""
        ...
