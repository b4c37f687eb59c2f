"""``OUT/report.html``: one page without scripts, which needs nothing but itself and the audio that it plays."""

import math
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import quote

from jobs.console import duration, one_line
from jobs.inspect.charts import histogram, steps
from jobs.inspect.run_report import Row, RunReport, read_report
from jobs.run_directory.run_directory import REPORT_KEY, RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin-bottom: 0; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.15rem 1rem 0.15rem 0; vertical-align: top; }
td { overflow-wrap: anywhere; } audio { height: 2rem; vertical-align: middle; }
svg { width: 100%; height: auto; } svg polygon, svg rect { fill: #3b7dd8; } svg line { stroke: #888; }
svg .mark { stroke-dasharray: 4 3; } svg text { font: 11px system-ui, sans-serif; fill: #888; }
"""
POLICY = "default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; media-src *; base-uri 'none'"


def write_report(directory: RunDirectory, run: Run, totals: Totals) -> str:
    """Write the page of a run whose finished shards are ``totals``; returns where it is. StorageError if it cannot."""
    directory.storage.write(REPORT_KEY, page(read_report(directory, run, totals)).encode())
    return f"{directory.storage.uri}/{REPORT_KEY}"


def page(report: RunReport) -> str:
    """The page. All that comes from a manifest, a file or a person is text in it, whatever it says."""
    body = [f"<h1>{_text(report.place)}</h1>", *_done(report), *_failed(report), *_quality(report)]
    body += [*_speed(report), *_nodes(report), *_sound(report)]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{_text(report.place)}</title>'
        f"<style>{STYLE}</style>"
    )
    lines = "\n".join([*body, *_asked(report.run)])
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{lines}\n</body>\n</html>\n'


def _text(value: object) -> str:
    """Anything as text of the page, in an element or in an attribute."""
    return escape(one_line(str(value)))


def _table(rows: Iterable[tuple[object, ...]], *names: str) -> str:
    """A table of texts."""
    head = "<tr>" + "".join(f"<th>{_text(name)}</th>" for name in names) + "</tr>" if names else ""
    lines = ("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{head}{''.join(lines)}</table>"


def _done(report: RunReport) -> Iterator[str]:
    run, totals = report.run, report.totals
    rows: list[tuple[object, ...]] = [
        ("rendered", f"{totals.items - totals.failed:,} of {run.items:,} items"),
        ("failed", f"{totals.failed:,}"),
        ("not finished", f"{run.items - totals.items:,} items, {len(run.shards) - len(totals.shards):,} shards"),
        ("audio", f"{totals.audio_seconds / 3600:.2f} h"),
    ]
    if report.timeline.seconds:
        sessions = len(report.timeline.starts) + 1
        speed = totals.audio_seconds / report.timeline.seconds
        rows.append(("time", f"{duration(report.timeline.seconds)} in {sessions} sessions: {speed:.1f} audio-s/s"))
    if totals.render_seconds:
        speed = totals.audio_seconds / totals.render_seconds
        rows.append(("one actor", f"{speed:.2f} audio-s/s, while it renders"))
    if totals.occupancy is not None:
        rows.append(("decode batch", f"{totals.occupancy:.1%} full"))
    yield _table(rows)


def _failed(report: RunReport) -> Iterator[str]:
    failures = sorted(report.totals.failures.items(), key=lambda entry: -entry[1].count)
    if not failures:
        return
    yield "<h2>What failed</h2>"
    rows = []
    for reason, failure in failures:
        told = (f"{item_id}: {report.messages.get(item_id, '')}".rstrip(": ") for item_id in failure.item_ids)
        rows.append((reason, f"{failure.count:,}", "; ".join(told)))
    yield _table(rows, "reason", "items", "the first of them")


def _quality(report: RunReport) -> Iterator[str]:
    totals = report.totals
    if not totals.good + totals.poor:
        return
    yield "<h2>Quality</h2>"
    yield f"<p>{totals.good:,} items are good, {totals.poor:,} poor, by the thresholds at the end of this page.</p>"
    if totals.faults:
        yield _table([(name, f"{count:,}") for name, count in totals.faults], "fault", "items")
    if report.worst:
        yield "<h3>The worst</h3>"
        yield "<table>" + "".join(_poor(row, report.has_files) for row in report.worst) + "</table>"


def _poor(row: Row, is_file: bool) -> str:
    found, explained = (row[name] for name in ("notes_found", "attacks_explained"))
    shares = [
        f"{value:.0%} of {what}"
        for value, what in ((found, "notes found"), (explained, "attacks explained"))
        if value is not None
    ]
    told = f"<td>{_text(', '.join(row['faults']))}</td><td>{_text(', '.join(shares))}</td>"
    return _player(row, told) if is_file else f"<tr><td>{_text(row['item_id'])}</td>{told}</tr>"


def _speed(report: RunReport) -> Iterator[str]:
    timeline = report.timeline
    if not timeline.seconds:
        return
    yield "<h2>Speed</h2>"
    yield "<p>Seconds of audio per second, over the time in which a driver was at work.</p>"
    yield steps(timeline.speed, duration(timeline.seconds), "audio-s/s", timeline.starts)


def _nodes(report: RunReport) -> Iterator[str]:
    """What each node did, where there are several, or something is wrong with one."""
    if len(report.nodes) < 2 and not any(node.deaths or node.faults for node in report.nodes):
        return
    yield "<h2>Nodes</h2>"
    rows = [
        (
            node.name,
            f"{node.items:,}",
            duration(node.audio),
            f"{node.failed:,}",
            f"{node.deaths:,}",
            "; ".join(node.faults),
        )
        for node in report.nodes
    ]
    yield _table(rows, "node", "items", "audio", "failed", "deaths", "faults")


def _sound(report: RunReport) -> Iterator[str]:
    rows = report.rendered
    if not rows:
        return
    everything = len(report.rows) == report.totals.items
    yield "<h2>Sound</h2>"
    silent = sum(row["rms_dbfs"] is None for row in rows)
    yield f"<p>Of {len(rows):,} items{'' if everything else ', a sample'}; {silent:,} are silent.</p>"
    durations = [row["duration_s"] for row in rows]
    levels = [row["rms_dbfs"] for row in rows if row["rms_dbfs"] is not None]
    peaks = [20 * math.log10(row["peak"]) for row in rows if row["peak"]]
    for title, values, unit in (("Duration", durations, "s"), ("Level (RMS)", levels, "dBFS"), ("Peak", peaks, "dBFS")):
        if values:
            yield f"<h3>{title}</h3>{histogram(values, unit)}"
    if report.played:
        yield "<table>" + "".join(map(_player, report.played)) + "</table>"


def _player(row: Row, more: str = "") -> str:
    audio, midi = (_text(quote(row[name])) for name in ("audio_path", "midi_path"))
    return (
        f'<tr><td><audio controls preload="none" src="{audio}"></audio></td><td>{_text(row["item_id"])}</td>'
        f'<td>{duration(row["duration_s"])}</td><td><a href="{midi}">notes</a></td>{more}</tr>'
    )


def _asked(run: Run) -> Iterator[str]:
    yield "<h2>What was asked</h2>"
    rows: list[tuple[object, ...]] = [
        ("manifest", run.manifest_path),
        ("its rows, hash", f"{run.manifest_rows:,}, {run.manifest_sha256}"),
        ("prompt bank", run.prompts_path or "none"),
        ("model, hash", f"{run.model_id}, {run.model_hash}"),
        ("begun", run.created),
        ("threads of an actor", run.threads),
        *((name.replace("_", " "), "off" if value is None else value) for name, value in run.settings.values().items()),
        *((f"{name} version", version) for name, version in run.versions.items()),
    ]
    yield _table(rows)
