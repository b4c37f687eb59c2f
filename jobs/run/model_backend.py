"""MIDI-VALLE as a run's renderer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jobs.console import download_bar
from jobs.inputs.inputs import Inputs, is_s3
from jobs.run.options import RenderOptions
from jobs.run.shipment import as_shipped
from jobs.shard.backend import CorpusRenderer, ModelFacts
from jobs.storage import S3Access
from renderer.renderer import Renderer
from renderer.weights.checkpoint import BUNDLED, ModelDescription, find_model


@dataclass(frozen=True)
class ModelBackend:
    """MIDI-VALLE by model name, directory (which may be on S3), or published files."""

    model: str
    model_file: Path | None
    codec_file: Path | None
    precision: str
    batch_size: int | None
    s3: S3Access = field(default_factory=S3Access)

    @classmethod
    def from_options(cls, options: RenderOptions) -> "ModelBackend":
        """The backend that a run's options ask for; paths are absolute, as actors may work elsewhere."""
        return cls(
            str(local_directory(options.model) or options.model),
            options.model_file and options.model_file.absolute(),
            options.codec_file and options.codec_file.absolute(),
            options.precision,
            options.batch_size,
            options.s3.chosen(),
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
            str(Inputs(s3=self.s3).directory(self.model)) if is_s3(self.model) else as_shipped(self.model),
            model_file=self.model_file,
            codec_file=self.codec_file,
            progress=progress,
            announce=announce,
        )


def local_directory(model: str) -> Path | None:
    """The directory on this machine's disk that a model is named by; None for one with a name, or on S3."""
    is_bundled = not Path(model).is_absolute() and (BUNDLED / model).is_dir()
    return Path(model).absolute() if Path(model).is_dir() and not is_bundled else None
