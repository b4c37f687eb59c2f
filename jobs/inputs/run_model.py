"""The model that a run was rendered with, looked for when the run is over."""

from collections.abc import Iterator
from pathlib import Path

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, is_s3
from renderer.errors import CheckpointError
from renderer.weights.checkpoint import BUNDLED, ModelDescription, describe
from renderer.weights.published import cache_directory
from schemas.run import Run


def find_run_model(run: Run, given: str | None, inputs: Inputs) -> ModelDescription | None:
    """The run's model: in the directory that is ``given``, else the bundled or imported one with its hash, or None.

    JobError or CheckpointError if what is given is not the model of the run.
    """
    if given is not None:
        model = describe(inputs.directory(given) if is_s3(given) or Path(given).is_dir() else BUNDLED / given)
        if model.fingerprint() != run.model_hash:
            raise JobError(f"--model {given} is not the run's model {run.model_id}: its files have another hash")
        return model
    return next((model for model in _at_hand(run.model_id) if model.fingerprint() == run.model_hash), None)


def _at_hand(name: str) -> Iterator[ModelDescription]:
    for parent in (BUNDLED, cache_directory()):
        for config in sorted(parent.glob("[!.]*/config.json")):
            try:
                model = describe(config.parent)
            except CheckpointError:
                continue
            if model.name == name:
                yield model
