"""From a manifest row to what the renderer takes."""

import hashlib
from collections.abc import Callable
from functools import lru_cache

from jobs.inputs.inputs import Inputs, folder_of
from jobs.shard.backend import CorpusRenderer
from jobs.shard.thresholds import Thresholds
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Excerpt, Performance
from renderer.prompt import Prompt
from renderer.quality.takes import Retakes
from renderer.rendering import RenderRequest
from schemas.manifest import ManifestRow
from schemas.prompts import read_prompt_bank
from schemas.run import RunSettings

PROMPTS_KEPT = 64
PERFORMANCES_KEPT = 4
"""Rows beside one another are often parts of one file."""


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
        self._retakes = Retakes(settings.attempts, Thresholds.of(settings).takes)
        self._prompt_from_files = lru_cache(PROMPTS_KEPT)(renderer.prompt_from_files)
        self._read_midi = lru_cache(PERFORMANCES_KEPT)(read_midi)

    def performance(self, row: ManifestRow) -> Performance:
        """The notes that the row asks for; may be called beside everything else."""
        return read_performance(row, self._folder, self._inputs, self._settings, self._read_midi)

    def request(self, row: ManifestRow, performance: Performance | None = None) -> RenderRequest:
        """The row's performance, which may have been read before, with its prompt and seed."""
        performance = self.performance(row) if performance is None else performance
        prompt, seed = self._prompt(row), self.seed(row)
        return RenderRequest(row.item_id, performance, prompt, seed, self._retakes, self._settings.tail)

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


def read_performance(
    row: ManifestRow,
    folder: str,
    inputs: Inputs,
    settings: RunSettings,
    read: Callable[..., Performance] = read_midi,
) -> Performance:
    """The notes that a row of a manifest in ``folder`` asks for; MidiError or JobError if there are none.

    In runs that do not say how pedals are read, each channel has one of its own.
    """
    whole = read(
        inputs.local(row.midi, folder),
        pedal=settings.pedal,
        pedal_channels=settings.pedal_channels or "each",
        strict=settings.strict_midi,
    )
    return whole.excerpt(_excerpt(row))


def _excerpt(row: ManifestRow) -> Excerpt:
    """Which part of its MIDI file a row asks for, and how it is to be changed."""
    return Excerpt(
        start=row.start_s or 0.0,
        end=row.end_s,
        transpose=row.transpose or 0,
        velocity_scale=1.0 if row.velocity_scale is None else row.velocity_scale,
        tempo_scale=1.0 if row.tempo_scale is None else row.tempo_scale,
    )


def item_seed(run_seed: int, item_id: str) -> int:
    """The seed of an item whose manifest row has none: 63 bits that only the run's seed and the id decide."""
    digest = hashlib.blake2b(f"{run_seed}/{item_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
