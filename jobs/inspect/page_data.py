"""The numbers that a report's page holds for its scripts: items as columns, and what is to be drawn of them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa

from jobs.console import one_line
from jobs.inspect.run_report import RunReport

PAGE_ITEMS = 10_000
"""So many items are in a page at most, drawn at random: with them it stays below 10 MB."""

SHOWN_GROUPS = 30
_NO_PROMPT, _NO_SPLIT = "unknown", "none"

_MEASURES = {
    "length": "duration_s",
    "level": "rms_dbfs",
    "found": "notes_found",
    "explained": "attacks_explained",
    "codes": "codes_match",
    "silence": "silence_s",
    "joints": "joint_prominence",
    "score": "quality_score",
}


class Group(NamedTuple):
    """The items with one prompt, or of one split; medians are None where nothing was measured."""

    name: str
    items: int
    failed: int
    poor: int
    found: float | None
    explained: float | None
    level: float | None
    hours: float


def page_data(report: RunReport) -> dict[str, Any]:
    """What the scripts are given, as JSON takes it: no text in it holds control characters."""
    items = page_items(report)
    timeline, thresholds = report.timeline, report.run.settings.thresholds or {}
    speed = {"values": [round(value, 3) for value in timeline.speed], "starts": list(timeline.starts)}
    return {
        "items": _columns(items, report.run.settings.layout == "files"),
        "charts": _charts(thresholds),
        "speed": speed | {"seconds": timeline.seconds},
    }


def page_items(report: RunReport) -> pa.Table:
    """All items that were read, or so many of them as a page may hold: the same ones for the same run."""
    items = report.items
    if len(items) <= PAGE_ITEMS:
        return items
    chosen = sorted(random.Random(report.run.settings.seed).sample(range(len(items)), PAGE_ITEMS))
    return items.take(pa.array(chosen))


def groups(items: pa.Table, column: str) -> list[Group]:
    """The items by ``prompt`` or ``split``, those of which most are poor first."""
    names = _prompts(items) if column == "prompt" else _splits(items)
    members: dict[str, list[Mapping[str, Any]]] = {}
    wanted = ["verdict", "status", "notes_found", "attacks_explained", "rms_dbfs", "duration_s"]
    for name, row in zip(names, items.select(wanted).to_pylist(), strict=True):
        members.setdefault(name, []).append(row)
    found = [_group(name, rows) for name, rows in members.items()]
    return sorted(found, key=lambda group: (-(group.poor + group.failed) / group.items, group.name))


def _group(name: str, rows: Sequence[Mapping[str, Any]]) -> Group:
    return Group(
        name,
        items=len(rows),
        failed=sum(row["status"] == "failed" for row in rows),
        poor=sum(row["verdict"] == "poor" for row in rows),
        found=_median(row["notes_found"] for row in rows),
        explained=_median(row["attacks_explained"] for row in rows),
        level=_median(row["rms_dbfs"] for row in rows),
        hours=sum(row["duration_s"] or 0.0 for row in rows) / 3600,
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _columns(items: pa.Table, has_files: bool) -> dict[str, Any]:
    verdicts = [verdict_of(*pair) for pair in zip(*_lists(items, "status", "verdict"), strict=True)]
    wrong = [
        error or ", ".join(faults or ()) for error, faults in zip(*_lists(items, "error_type", "faults"), strict=True)
    ]
    columns: dict[str, Any] = {
        "id": [one_line(str(item_id)) for item_id in items["item_id"].to_pylist()],
        "verdict": _numbered(verdicts),
        "prompt": _numbered(_prompts(items)),
        "split": _numbered(_splits(items)),
        "wrong": _numbered(wrong),
    }
    for name, column in _MEASURES.items():
        columns[name] = [None if value is None else float(f"{value:.4g}") for value in items[column].to_pylist()]
    return columns | ({"path": items["audio_path"].to_pylist()} if has_files else {})


def verdict_of(status: str, verdict: str | None) -> str:
    """What became of an item, in a word or two."""
    return "failed" if status == "failed" else verdict or "not judged"


def prompt_of(row: Mapping[str, Any]) -> str:
    """What a person knows an item's prompt by."""
    return one_line(row["prompt"] or row["prompt_audio"] or row["prompt_id"] or _NO_PROMPT)


def split_of(row: Mapping[str, Any]) -> str:
    """The item's split, as the manifest says."""
    return one_line(row["split"] or _NO_SPLIT)


def _prompts(items: pa.Table) -> list[str]:
    return [prompt_of(row) for row in items.select(["prompt", "prompt_audio", "prompt_id"]).to_pylist()]


def _splits(items: pa.Table) -> list[str]:
    return [split_of(row) for row in items.select(["split"]).to_pylist()]


def _lists(items: pa.Table, *names: str) -> list[list[Any]]:
    return [items[name].to_pylist() for name in names]


def _numbered(values: Sequence[str]) -> dict[str, Any]:
    """Texts of which many are the same: each once, and the number of each value's."""
    names = sorted(set(values))
    number = {name: place for place, name in enumerate(names)}
    return {"names": [one_line(name) for name in names], "values": [number[value] for value in values]}


def _charts(thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The charts in their order; a ``mark`` is where an item becomes poor."""

    def axis(column: str, title: str, unit: str = "", threshold: str = "") -> dict[str, Any]:
        return {"column": column, "title": title, "unit": unit, "mark": thresholds.get(threshold)}

    found = axis("found", "notes found", "", "notes_found")
    explained = axis("explained", "attacks explained", "", "attacks_explained")
    codes = axis("codes", "codes match", "", "codes_match")
    length = axis("length", "length", "s")
    return [
        {"title": "Notes found, and attacks explained", "x": found, "y": explained},
        {"title": "How notes are played, by length", "x": length, "y": axis("score", "score")},
        {"title": "How well codes tell what is struck", "x": codes},
        {"title": "Level (RMS)", "x": axis("level", "level", "dBFS", "level")},
        {"title": "Length", "x": length},
        {"title": "Longest silence where a note should sound", "x": axis("silence", "silence", "s", "silence")},
        {"title": "Worst joint of segments, against elsewhere", "x": axis("joints", "prominence", "", "joints")},
    ]
