"""From a manifest row to what the renderer takes."""

from functools import lru_cache
from typing import cast

from jobs.backend import CorpusRenderer
from jobs.inputs import Inputs, folder_of
from jobs.plan import item_seed
from renderer.midi import read_midi
from renderer.notes import Excerpt, PedalPolicy, Performance
from renderer.prompt import Prompt
from renderer.render import RenderRequest
from schemas.manifest import ManifestRow
from schemas.prompts import read_prompt_bank
from schemas.run import RunSettings

PROMPTS_KEPT = 64


class ItemReader:
    """Reads what rows name: MIDI files and prompts. What it raises is the item's failure, not the run's."""

    def __init__(
        self, settings: RunSettings, manifest: str, bank: str | None, inputs: Inputs, renderer: CorpusRenderer
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._folder = folder_of(manifest)
        self._renderer = renderer
        self._bank = {} if bank is None else read_prompt_bank(inputs.local(bank))
        self._bank_folder = None if bank is None else folder_of(bank)
        self._prompt_from_files = lru_cache(PROMPTS_KEPT)(renderer.prompt_from_files)

    def request(self, row: ManifestRow) -> RenderRequest:
        """The row's performance, prompt and seed."""
        performance = read_performance(row, self._folder, self._inputs, cast(PedalPolicy, self._settings.pedal))
        return RenderRequest(row.item_id, performance, self._prompt(row), self.seed(row))

    def seed(self, row: ManifestRow) -> int:
        """The row's own seed, or the one that follows from the run's."""
        return item_seed(self._settings.seed, row.item_id) if row.seed is None else row.seed

    def _prompt(self, row: ManifestRow) -> Prompt:
        if row.prompt is None:
            assert row.prompt_audio and row.prompt_midi  # The manifest was validated.
            return self._prompt_from_files(
                self._inputs.local(row.prompt_audio, self._folder), self._inputs.local(row.prompt_midi, self._folder)
            )
        if entry := self._bank.get(row.prompt):
            return self._prompt_from_files(
                self._inputs.local(entry.audio, self._bank_folder),
                self._inputs.local(entry.midi, self._bank_folder),
                row.prompt,
            )
        return self._renderer.prompt(row.prompt)


def read_performance(row: ManifestRow, folder: str, inputs: Inputs, pedal: PedalPolicy) -> Performance:
    """The notes that a row of a manifest in ``folder`` asks for; MidiError or JobError if there are none."""
    performance = read_midi(inputs.local(row.midi, folder), pedal)
    excerpt = Excerpt(
        start=row.start_s or 0.0,
        end=row.end_s,
        transpose=row.transpose or 0,
        velocity_scale=1.0 if row.velocity_scale is None else row.velocity_scale,
    )
    return performance if excerpt == Excerpt() else performance.excerpt(excerpt)
