"""``README.md`` and ``LICENCES.md`` of an export: what it holds, how it was made, whose work is in it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from jobs.console import duration
from jobs.exports.licences import UNKNOWN, Source
from jobs.exports.markdown import bullets, plain, table
from jobs.exports.survey import MEASURES, Survey
from renderer.weights.checkpoint import ModelDescription, read_card
from schemas.run import Run

CARD, LICENCES = "README.md", "LICENCES.md"
_MOST_SOURCES = 40
"""So many sources stand in the card itself; LICENCES.md has all."""

_SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, eq=False)
class Card:
    """All that the card of an export tells; ``layout`` says in a paragraph how the files lie."""

    title: str
    run: Run
    model: ModelDescription | None
    survey: Survey
    sources: Sequence[Source]
    layout: str

    def text(self, head: Mapping[str, Any] | None = None) -> str:
        """The card in Markdown, with a YAML ``head`` if there is one."""
        start = f"---\n{yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)}---\n\n" if head else ""
        parts = [f"# {plain(self.title)}", *self._what(), *self._made(), *self._figures(), *self._whose()]
        return start + "\n\n".join([*parts, *self._faults()]) + "\n"

    def head(self, data_files: Mapping[str, str]) -> dict[str, Any]:
        """What the hub reads: the licence (none of its own: those of the sources hold), tasks, size, splits' files."""
        items = self.survey.total.items
        ends = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M"]
        return {
            "pretty_name": self.title,
            "license": "other",
            "license_name": "those-of-the-sources",
            "license_link": LICENCES,
            "tags": ["audio", "music", "piano", "midi", "synthetic", "music-transcription"],
            "size_categories": [ends[sum(items >= size for size in _SIZES)]],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": split, "path": path} for split, path in data_files.items()],
                }
            ],
        }

    def licences(self) -> str:
        """``LICENCES.md``: every source by name."""
        unknown = sum(source.licence == UNKNOWN for source in self.sources)
        warning = f"\n\n**Of {unknown} sources the licence is not known.** Find it out before you share anything."
        return (
            "# Licences\n\nThe items were made of these. Each licence holds for what was made of it."
            f"{warning if unknown else ''}\n\n{_sources(self.sources)}\n{self._model_data()}"
        )

    def _what(self) -> Iterator[str]:
        total = self.survey.total
        yield (
            f"Piano audio rendered from performance MIDI: {total.items:,} items, {duration(total.seconds)}, "
            f"{total.notes:,} notes. The audio is synthetic. Notes and audio begin on one clock: onsets, offsets, keys "
            "and velocities are those that were rendered."
        )
        counts = [(split, self.survey.splits[split]) for split in self.survey.order]
        rows = [(split, f"{n.items:,}", f"{n.seconds / 3600:.2f}", f"{n.notes:,}") for split, n in counts]
        yield table(("split", "items", "hours", "notes"), rows)
        yield self.layout
        left_out = [f"{self.survey.failed:,} items that could not be rendered"] if self.survey.failed else []
        left_out += [f"{self.survey.not_chosen:,} that were judged poor"] if self.survey.not_chosen else []
        if left_out:
            yield f"Left out: {' and '.join(left_out)}."

    def _made(self) -> Iterator[str]:
        run = self.run
        yield "## How it was made"
        rows: list[tuple[str, object]] = [
            ("program", f"render-corpus {run.versions.get('render-corpus', '')}".strip()),
            ("model", f"{run.model_id}, {run.model_hash}"),
            ("manifest, SHA-256", run.manifest_sha256),
            ("rendered", run.created),
        ]
        rows += [
            (name.replace("_", " "), "off" if value is None else value) for name, value in run.settings.values().items()
        ]
        yield table(("setting", "value"), rows)

    def _figures(self) -> Iterator[str]:
        rows = []
        for name in MEASURES:
            if values := self.survey.measures[name]:
                low, middle, high = np.percentile(values, (5, 50, 95))
                rows.append((name, f"{low:.3f}", f"{middle:.3f}", f"{high:.3f}"))
        if rows:
            yield "## Figures"
            yield table(("measure", "5 %", "median", "95 %"), rows)
            yield (
                "`notes_found` is the share of an item's notes that are heard to begin, `attacks_explained` the share "
                "of what is struck that belongs to a note, by the run's own detector, `codes_match` how well "
                "the model's codes tell what is struck, where it has a probe for it; `quality_score` is the harmonic "
                "mean of the first two, `rms_dbfs` the level."
            )

    def _whose(self) -> Iterator[str]:
        yield "## Licences"
        yield _sources(self.sources[:_MOST_SOURCES])
        more = len(self.sources) - _MOST_SOURCES
        rest = f"{more:,} more sources are in `{LICENCES}`. " if more > 0 else ""
        unknown = any(source.licence == UNKNOWN for source in self.sources)
        warning = " **Of some the licence is not known: find it out before you share anything.**" if unknown else ""
        yield f"{rest}Each licence holds for what was made of its source.{warning}"

    def _faults(self) -> Iterator[str]:
        yield "## Known faults"
        survey = self.survey
        entries: list[str] = []
        if survey.verdicts:
            good, poor = survey.verdicts["good"], survey.verdicts["poor"]
            entries.append(f"By the run's own thresholds {good:,} items are good and {poor:,} poor.")
        entries += [f"{name}: {count:,} items" for name, count in survey.faults.most_common()]
        entries.append("The verdicts are a detector's. Nobody has listened to every item.")
        yield bullets(entries)
        if facts := self._card_of_the_model():
            yield "What the model's own card says:"
            yield table(("", ""), facts)

    @property
    def _card(self) -> dict[str, Any]:
        return {} if self.model is None else read_card(self.model.folder)

    def _card_of_the_model(self) -> list[tuple[str, str]]:
        return [
            (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for key, value in self._card.items()
            if key not in ("name", "licence", "language_model", "codec")
        ]

    def _model_data(self) -> str:
        data = self._card.get("data")
        entries = data if isinstance(data, list) else [data] if data else []
        return f"\nThe weights were trained on:\n\n{bullets(entries)}\n" if entries else ""


def _sources(sources: Sequence[Source]) -> str:
    rows = ((source.kind, source.name, source.licence, f"{source.items:,}") for source in sources)
    return table(("what", "source", "licence", "items"), rows)
