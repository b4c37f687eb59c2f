"""Whose work is in an export, and under which licences: nothing may go without one unsaid."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.exports.export_options import ExportOptions
from jobs.inputs.inputs import Inputs
from renderer.file_hash import file_hash
from renderer.weights.checkpoint import ModelDescription
from schemas.run import Run

UNKNOWN = "unknown"
_UNSTATED = (None, "", "not stated")
_SHOWN_IDS = 3

_MIDI_LICENCE = ("midi_licence", "midi_license", "licence", "license")
_MIDI_SOURCE = ("midi_source", "source")
_PROMPT_LICENCE = ("prompt_licence", "prompt_license")
LICENCE_COLUMNS = (*_MIDI_LICENCE, *_MIDI_SOURCE, *_PROMPT_LICENCE, "prompt_source", "prompt_audio", "prompt_id")
"""The columns of the results that say whose work an item is made of."""


@dataclass(frozen=True)
class Source:
    """Something that items were made of; ``items`` counts them."""

    kind: str
    name: str
    licence: str
    items: int


@dataclass
class _Missing:
    """Items of which a licence is not stated, and the first of them."""

    items: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, item_id: str) -> None:
        self.items += 1
        if len(self.first) < _SHOWN_IDS:
            self.first.append(item_id)


class Licences:
    """Collects the sources of an export's items, and their licences."""

    def __init__(self, run: Run, options: ExportOptions, model: ModelDescription | None, inputs: Inputs) -> None:
        self._run, self._options, self._model = run, options, model
        self._bank = _bank_licences(run, inputs)
        self._midi: Counter[tuple[str, str]] = Counter()
        self._prompts: Counter[tuple[str, str]] = Counter()
        self._missing = {"midi": _Missing(), "prompt": _Missing()}
        self._items = 0

    def add(self, rows: pa.Table) -> None:
        """Count the sources of some items."""
        columns = [name for name in ("item_id", *LICENCE_COLUMNS) if name in rows.column_names]
        for row in rows.select(columns).to_pylist():
            self._items += 1
            midi = _first(row, _MIDI_LICENCE) or self._options.midi_licence
            self._midi[_first(row, _MIDI_SOURCE) or "MIDI files", self._stated("midi", row, midi)] += 1
            self._prompts[self._prompt(row)] += 1

    def sources(self) -> list[Source]:
        """All sources, the model's weights last; JobError for a licence that is not stated, and what to give."""
        weights = self._weights()
        problems = [*self._problems("midi", "MIDI file"), *self._problems("prompt", "prompt")]
        if weights is None:
            lacks = "its card has none: give" if self._model else "the model is not at hand: give --model DIR or"
            problems.append(f"the licence of the weights {self._run.model_id} is not known, as {lacks} --model-licence")
        if problems and not self._options.licence_unknown:
            lines = "\n".join(f"  - {problem}" for problem in problems)
            raise JobError(f"not exported, as licences are missing (--licence-unknown says so in the card):\n{lines}")
        return [
            *(Source("MIDI", name, licence, count) for (name, licence), count in sorted(self._midi.items())),
            *(Source("prompt", name, licence, count) for (name, licence), count in sorted(self._prompts.items())),
            Source("weights", f"model {self._run.model_id}", weights or UNKNOWN, self._items),
        ]

    def _weights(self) -> str | None:
        stated = None if self._model is None else self._model.licence
        return self._options.model_licence if stated in _UNSTATED else stated

    def _prompt(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """What a row's prompt is called, and its licence."""
        prompt_id, given = str(row.get("prompt_id")), self._options.prompt_licence
        if row.get("prompt_audio") is not None:
            name = _first(row, ("prompt_source",)) or f"recording {prompt_id}"
            return name, self._stated("prompt", row, _first(row, _PROMPT_LICENCE) or given)
        if prompt_id in self._bank:
            source, licence = self._bank[prompt_id]
            name = f"{prompt_id}: {source}" if source else f"{prompt_id}, of the prompt bank"
            return name, self._stated("prompt", row, licence or given)
        if self._run.prompts_path is not None and (self._model is None or prompt_id not in self._model.prompt_ids):
            return prompt_id, self._stated("prompt", row, given)  # The bank is not what it was.
        return f"{prompt_id}, which comes with the model", self._weights() or UNKNOWN

    def _stated(self, kind: str, row: Mapping[str, Any], licence: str | None) -> str:
        if licence not in _UNSTATED:
            return str(licence)
        self._missing[kind].add(str(row["item_id"]))
        return UNKNOWN

    def _problems(self, kind: str, what: str) -> Iterator[str]:
        missing = self._missing[kind]
        if missing.items:
            ids = ", ".join(missing.first) + (", ..." if missing.items > len(missing.first) else "")
            yield f"{missing.items:,} items have a {what} without one ({ids}): give --{kind}-licence"


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of some columns that says something."""
    return next((str(row[name]) for name in names if row.get(name) not in _UNSTATED), None)


def _bank_licences(run: Run, inputs: Inputs) -> dict[str, tuple[str | None, str | None]]:
    """Source and licence of each prompt of the run's bank, as its columns say; empty if it is not what it was."""
    if run.prompts_path is None:
        return {}
    try:
        path = inputs.local(run.prompts_path)
        if file_hash(path) != run.prompts_sha256:
            return {}
        file = pq.ParquetFile(path)
        names = ("prompt_id", "source", "licence", "license")
        rows = file.read([name for name in names if name in file.schema_arrow.names]).to_pylist()
    except (JobError, OSError, pa.ArrowException):
        return {}
    return {str(row["prompt_id"]): (_first(row, ("source",)), _first(row, ("licence", "license"))) for row in rows}
