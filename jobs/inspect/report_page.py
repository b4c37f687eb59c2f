"""``OUT/report.html``: one page that needs nothing but itself. Its scripts draw, filter and follow what is played."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobs.console import duration, one_line
from jobs.inspect.clip import CLIP_SECONDS, Clip
from jobs.inspect.failures import failure_reasons
from jobs.inspect.heard_items import HeardItem
from jobs.inspect.nodes import NodeRecord
from jobs.inspect.page_data import SHOWN_GROUPS, groups, page_data, page_items, prompt_of, split_of, verdict_of
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.inspect.run_report import RunReport, read_report
from jobs.inspect.timeline import Timeline
from jobs.pictures.note_picture import STYLE, player_script
from jobs.run_directory.run_directory import REPORT_KEY, RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run

FOLDER = "page"
SCRIPTS = ("charts.js", "items.js")


def write_report(directory: RunDirectory, totals: Totals, prompts: PromptRecordings) -> str:
    """Write the page of the run whose finished shards are ``totals``; returns where it is. StorageError if it cannot.

    ``prompts`` are the run's.
    """
    directory.storage.write(REPORT_KEY, page(read_report(directory, totals, prompts)).encode())
    return f"{directory.storage.uri}/{REPORT_KEY}"


def page(report: RunReport) -> str:
    """The page. All that comes from a manifest, a file or a person is text in it, whatever it says."""
    environment = Environment(
        loader=PackageLoader("jobs.inspect", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {"duration": duration, "share": _share, "link": quote}
    script = player_script() + "".join(_resource(name) for name in SCRIPTS)
    style = _resource("report.css") + STYLE
    return environment.get_template("report.html").render(
        report=report,
        policy=_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        data=page_data(report),
        figures=list(_figures(report)),
        failures=failure_reasons(report.items, report.totals),
        nodes=_nodes(report),
        groups=_groups(report),
        heard=[_card(item) for item in report.heard],
        asked=_asked(report.run),
        shown_items=len(page_items(report)),
        clip_seconds=CLIP_SECONDS,
        has_files=report.run.settings.layout == "files",
    )


def _shown(value: object) -> object:
    """A value as text of the page, in which a name cannot write over several lines or backwards."""
    return value if isinstance(value, Markup) else one_line(str(value))


def _resource(name: str) -> str:
    return (files("jobs.inspect") / FOLDER / name).read_text("utf-8")


def _policy(script: str, style: str) -> str:
    """What a browser may do with the page: run its own script and nothing else, and load nothing."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    sources = [f"{kind} 'sha256-{digest}'" for kind, digest in zip(("script-src", "style-src"), hashes, strict=True)]
    return "; ".join(
        ["default-src 'none'", *sources, "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"]
    )


def _figures(report: RunReport) -> Iterator[tuple[str, str, str]]:
    """What the run has come to: what of, a figure, and what more there is to say."""
    run, totals = report.run, report.totals
    left, judged = run.items - totals.items, totals.good + totals.poor
    yield "rendered", f"{totals.items - totals.failed:,} of {run.items:,} items", ""
    yield "failed", f"{totals.failed:,} items", ""
    if left:
        yield "not finished", f"{left:,} items", f"in {len(run.shards) - len(totals.shards):,} shards"
    yield "audio", duration(totals.audio_seconds), ""
    if judged:
        yield "good", f"{totals.good:,} items", f"{totals.good / judged:.1%} of those judged"
        yield "poor", f"{totals.poor:,} items", ", ".join(f"{name} {count:,}" for name, count in totals.faults)
    yield from _pace(totals, report.timeline)


def _pace(totals: Totals, timeline: Timeline) -> Iterator[tuple[str, str, str]]:
    """How fast that was."""
    if timeline.seconds:
        sessions = len(timeline.starts) + 1
        yield "time", duration(timeline.seconds), f"in {sessions} session{'s' * (sessions > 1)}"
        yield "speed", f"{totals.audio_seconds / timeline.seconds:.1f} audio-s/s", ""
    if totals.render_seconds:
        yield "one actor", f"{totals.audio_seconds / totals.render_seconds:.2f} audio-s/s", "while it renders"
    if totals.occupancy is not None:
        yield "decode batch", f"{totals.occupancy:.1%} full", ""


def _groups(report: RunReport) -> list[tuple[str, list[Any], int]]:
    """The tables by prompt and by split, each cut to what a person reads; none where there is only one group."""
    found = [(column, groups(report.items, column)) for column in ("prompt", "split")]
    return [(column, every[:SHOWN_GROUPS], len(every)) for column, every in found if len(every) > 1]


def _nodes(report: RunReport) -> Sequence[NodeRecord]:
    """What each node did, where there are several, or something is wrong with one."""
    several = len(report.nodes) > 1 or any(node.deaths or node.faults for node in report.nodes)
    return report.nodes if several else ()


_SHARES = {"notes_found": "notes found", "attacks_explained": "attacks explained", "codes_match": "codes' match"}


def _card(item: HeardItem) -> Mapping[str, Any]:
    row = item.row
    measured = [f"{_share(row[name])} of {what}" for name, what in _SHARES.items() if row[name] is not None]
    level = "silent" if row["rms_dbfs"] is None else f"{row['rms_dbfs']:.1f} dBFS"
    return {
        "row": row,
        "is_worst": item.is_worst,
        "verdict": verdict_of(row["status"], row["verdict"]),
        "prompt": prompt_of(row),
        "split": split_of(row),
        "facts": ", ".join([duration(row["duration_s"]), level, *measured]),
        "faults": ", ".join(row["faults"] or ()),
        "sounds": [_sound(item.clip, "the item"), _sound(item.prompt, "its prompt")],
    }


def _sound(clip: Clip | str, name: str) -> Mapping[str, Any]:
    if isinstance(clip, str):
        return {"name": name, "missing": clip, "audio": None}
    return {"name": name, "missing": "", "audio": clip.audio, "picture": Markup(clip.picture), "clip": clip}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _asked(run: Run) -> list[tuple[str, object]]:
    return [
        ("manifest", run.manifest_path),
        ("its rows, hash", f"{run.manifest_rows:,}, {run.manifest_sha256}"),
        ("prompt bank", run.prompts_path or "none"),
        ("model, hash", f"{run.model_id}, {run.model_hash}"),
        ("begun", run.created),
        ("threads of an actor", run.threads),
        *((name.replace("_", " "), "off" if value is None else value) for name, value in run.settings.values().items()),
        *((f"{name} version", version) for name, version in run.versions.items()),
    ]
