"""The renderer as a run sees it: described once by the driver, loaded once by each actor."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.cli.models import download_bar
from jobs.inputs.inputs import Inputs, is_s3
from jobs.run.options import RenderOptions
from jobs.storage.s3_storage import chosen_endpoint
from renderer.decoding.sampling import Sampling
from renderer.midi.notes import PedalPolicy
from renderer.prompt import Prompt
from renderer.renderer import Renderer
from renderer.rendering import Rendering, RenderRequest
from renderer.weights.checkpoint import BUNDLED, ModelDescription, find_model


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


@dataclass(frozen=True)
class ModelBackend:
    """The real one: MIDI-VALLE by model name, directory (which may be on S3), or published files."""

    model: str
    model_file: Path | None
    codec_file: Path | None
    precision: str
    batch_size: int | None
    endpoint_url: str | None = None

    @classmethod
    def from_options(cls, options: RenderOptions) -> "ModelBackend":
        """The backend that a run's options ask for; paths are absolute, as actors may work elsewhere."""
        model = options.model
        if Path(model).is_dir() and not (BUNDLED / model).is_dir():
            model = str(Path(model).absolute())
        return cls(
            model,
            options.model_file and options.model_file.absolute(),
            options.codec_file and options.codec_file.absolute(),
            options.precision,
            options.batch_size,
            chosen_endpoint(options.s3_endpoint_url),
        )

    def describe(self) -> ModelFacts:
        """The model's facts; its weights are downloaded if need be. CheckpointError if it cannot be had."""
        with download_bar() as (progress, announce):
            found = self._find(progress, announce)
        return ModelFacts(
            found.name,
            found.fingerprint(),
            found.prompt_ids,
            found.pedal,
            found.licence,
            found.sample_rate,
        )

    def load(self, device: str) -> CorpusRenderer:
        """The model on a device."""
        found = self._find()
        return Renderer.load(found, device=device, precision=self.precision, batch_size=self.batch_size)

    def _find(
        self,
        progress: Callable[[int, int], None] | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> ModelDescription:
        return find_model(
            str(Inputs(endpoint_url=self.endpoint_url).directory(self.model)) if is_s3(self.model) else self.model,
            model_file=self.model_file,
            codec_file=self.codec_file,
            progress=progress,
            announce=announce,
        )
