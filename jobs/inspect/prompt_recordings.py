"""The recordings behind the prompts of a run's items, to be heard beside these."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs, folder_of, is_s3
from jobs.inspect.item_rows import Row
from renderer.weights.checkpoint import BUNDLED, describe
from schemas.prompts import BankPrompt, read_prompt_bank
from schemas.run import Run


@dataclass(frozen=True)
class PromptRecordings:
    """Where they are found: beside the manifest, in the run's prompt bank, or in its model's folder.

    ``model`` is the folder's location, where it is not that of a bundled model. What a manifest names is read by the
    rules of a run: from its own folder, S3, and the roots of ``inputs``.
    """

    run: Run
    inputs: Inputs
    model: str | None = None

    def files(self, row: Row) -> tuple[Path, Path]:
        """The recording and the MIDI file of an item's prompt.

        JobError, TableError or RendererError if they are not to be had; InputError if nothing says where they are.
        """
        if row["prompt_audio"] and row["prompt_midi"]:
            folder = folder_of(self.run.manifest_path)
            return self.inputs.local(row["prompt_audio"], folder), self.inputs.local(row["prompt_midi"], folder)
        prompt_id = row["prompt"] or row["prompt_id"]
        if self.run.prompts_path is not None and prompt_id in self._bank:
            folder, entry = folder_of(self.run.prompts_path), self._bank[prompt_id]
            return self.inputs.local(entry.audio, folder), self.inputs.local(entry.midi, folder)
        return self._of_model(str(prompt_id))

    def _of_model(self, prompt_id: str) -> tuple[Path, Path]:
        if self._model_folder is not None:
            model = describe(self._model_folder)
            if model.name == self.run.model_id and prompt_id in model.prompt_ids:
                prompts = model.folder / "prompts"
                return prompts / f"{prompt_id}.wav", prompts / f"{prompt_id}.mid"
        raise InputError(f"it comes with the model {self.run.model_id}: say where that is with report --model")

    @cached_property
    def _model_folder(self) -> Path | None:
        if (BUNDLED / self.run.model_id / "config.json").is_file():
            return BUNDLED / self.run.model_id
        if self.model is not None and (is_s3(self.model) or Path(self.model).is_dir()):
            return self.inputs.directory(self.model)
        return None

    @cached_property
    def _bank(self) -> Mapping[str, BankPrompt]:
        assert self.run.prompts_path is not None
        return read_prompt_bank(self.inputs.local(self.run.prompts_path))
