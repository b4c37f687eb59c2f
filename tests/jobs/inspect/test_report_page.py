"""``OUT/report.html``: it shows a run, and what it shows can do no harm."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.inspect.report_page import page, write_report
from jobs.inspect.run_report import RunReport, read_report
from jobs.run.beginning import overwrite
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from schemas.marker import Marker, count_failures
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run
from tests.jobs.support.s3_server import S3Server

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\n\x1b[2J\u202e&amp;"
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "table", "tr", "th", "td"),
    *("svg", "polygon", "rect", "line", "text", "audio", "a"),
}


class Parsed(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def report(directory: RunDirectory) -> RunReport:
    totals = Totals()
    for marker in directory.markers():
        totals.add(marker)
    return read_report(directory, directory.begun(), totals)


def test_what_was_asked_done_and_failed_is_told_with_players(tmp_path: Path, out: Path) -> None:
    ids = ["a b%20#ü", "raises-1", "b", "unreadable-1", "c", "d", "e", "f"]
    directory = render_run(make_corpus(tmp_path, ids), out, leave_out={3})
    shown = Parsed(page(report(directory)))
    assert shown.tags <= TAGS
    for told in ("4 of 8 items", "cannot render raises-1", "not a MIDI file", "RuntimeError", "2 items, 1 shards"):
        assert told in shown.text
    assert "100.0% full" in shown.text and "Of 4 items; 0 are silent." in shown.text
    sources = [value for name, value in shown.attributes if name == "src"]
    assert sources[-4:] == ["audio/a%20b%2520%23%C3%BC.flac", "audio/b.flac", "audio/c.flac", "audio/d.flac"]
    assert shown.of("href")[-4:] == [f"midi/{name}.mid" for name in ("a%20b%2520%23%C3%BC", "b", "c", "d")]
    assert (out / "audio/a b%20#ü.flac").is_file()


def test_faults_are_counted_and_the_worst_items_can_be_heard_first(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b", "c"]), out, quality_threshold=["silence=0.25"])
    judged = report(directory)
    shown = Parsed(page(judged))
    assert "0 items are good, 3 poor" in shown.text and "quality threshold silence0.25" in shown.text
    assert "attacks_explained3" in shown.text  # Noise explains nothing: the number of items follows the name.

    verdicts: list[tuple[list[str], float]] = [(["notes_found"], 0.1), ([], 0.9), (["clipped", "notes_found"], 0.5)]
    rows = [
        row | {"verdict": "poor" if faults else "good", "faults": faults, "quality_score": score}
        for row, (faults, score) in zip(judged.rows, verdicts, strict=True)
    ]
    shown = Parsed(page(replace(judged, rows=rows)))
    assert shown.of("src")[:2] == ["audio/c.flac", "audio/a.flac"]
    assert "clipped, notes_found" in shown.text


def test_whatever_a_manifest_a_file_or_a_person_says_is_text(tmp_path: Path, out: Path) -> None:
    calm = report(render_run(make_corpus(tmp_path, ["a", "raises-1"]), out))
    row = calm.rendered[0] | {"item_id": HOSTILE, "audio_path": f"audio/{HOSTILE}", "midi_path": f"midi/{HOSTILE}"}
    run = replace(
        calm.run,
        manifest_path=HOSTILE,
        prompts_path=HOSTILE,
        model_id=HOSTILE,
        created=HOSTILE,
        versions={HOSTILE: HOSTILE},
        settings=replace(calm.run.settings, pedal=HOSTILE),
    )
    totals = Totals()
    (marker,) = RunDirectory(render_run(make_corpus(tmp_path, ["a", "raises-1"]), tmp_path / "b").storage).markers()
    totals.add(hostile(marker))
    told = page(replace(calm, place=HOSTILE, run=run, totals=totals, rows=[row], messages={HOSTILE: HOSTILE}))
    shown = Parsed(told)
    assert shown.tags <= TAGS and "script" not in shown.tags
    assert not {name for name, _ in shown.attributes if name.startswith("on")}
    assert shown.text.count("<script>alert(1)</script>") >= 10
    assert "\x1b" not in told and "\u202e" not in told
    assert all(value.startswith(("audio/%22", "midi/%22")) for value in shown.of("src") + shown.of("href"))
    assert "script-src 'none'" in " ".join(shown.of("content"))


def hostile(marker: Marker) -> Marker:
    return replace(marker, failures=count_failures([(HOSTILE, HOSTILE)]))


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path, out: Path) -> None:
    told = page(report(render_run(make_corpus(tmp_path, ["a", "b"]), out, leave_out={0})))
    assert "0 of 2 items" in told and "<svg" not in told


@pytest.mark.parametrize("layout", ["webdataset", "parquet", "none"])
def test_other_layouts_have_no_players(tmp_path: Path, out: Path, layout: str) -> None:
    told = page(report(render_run(make_corpus(tmp_path, ["a", "b"]), out, layout=layout)))
    assert "2 of 2 items" in told and "<svg" in told and "<audio" not in told


def test_the_verb_writes_it_and_overwrite_removes_it(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    told = CliRunner().invoke(midi_valle_app(), ["report", str(out)])
    assert told.exit_code == 0 and told.stdout == f"{out}/report.html\n"
    assert "2 of 2 items" in (out / "report.html").read_text()
    overwrite(directory, yes=True)
    assert not (out / "report.html").exists()


def test_a_report_on_s3_is_a_page_that_browsers_show(tmp_path: Path, s3: S3Server) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "raises-1"]), s3.uri())
    totals = Totals()
    for marker in directory.markers():
        totals.add(marker)
    event = {"time": "2026-01-02T00:00:00+00:00", "event": "driver_started"}
    directory.storage.write("events/x-000.jsonl", json.dumps(event).encode())
    assert write_report(directory, directory.begun(), totals) == f"{directory.storage.uri}/report.html"
    assert b"1 of 2 items" in directory.storage.read("report.html")
    storage: Any = directory.storage
    head = storage._client.head_object(Bucket=storage.bucket, Key=f"{storage.prefix}/report.html")
    assert head["ContentType"] == "text/html; charset=utf-8"
