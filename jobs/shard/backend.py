"""The renderer as a run sees it: described once by the driver, loaded once by each actor."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from renderer.decoding.sampling import Sampling
from renderer.midi.notes import PedalPolicy
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest


@dataclass(frozen=True)
class ModelFacts:
    """What a run needs to know of a model before it is loaded."""

    model_id: str
    model_hash: str
    prompt_ids: tuple[str, ...]
    pedal: PedalPolicy
    licence: str
    sample_rate: int


class CorpusRenderer(Protocol):
    """What an actor needs of a renderer; ``renderer.Renderer`` is one."""

    def prompt(self, prompt_id: str) -> Prompt:
        """A prompt that comes with the model."""
        ...

    def prompt_from_files(self, audio: Path, midi: Path, prompt_id: str | None = None) -> Prompt:
        """A prompt from a recording and its MIDI."""
        ...

    def steps(
        self,
        requests: Iterable[RenderRequest],
        *,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        progress: Callable[[str, float], None] | None = None,
    ) -> Iterator[list[Rendering]]:
        """Step by step, the renderings that finished; ``progress`` is told of items' seconds of audio.

        It may ask for requests again after there were none, as long as something is under way.
        """
        ...


class Backend(Protocol):
    """Describes and loads a renderer. It travels to the actors, so it must be picklable."""

    def describe(self) -> ModelFacts:
        """The model, without loading it."""
        ...

    def load(self, device: str) -> CorpusRenderer:
        """The renderer on this process's device, ``cpu`` or ``cuda``."""
        ...
