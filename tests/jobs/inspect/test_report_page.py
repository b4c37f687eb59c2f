"""``OUT/report.html``: it shows a run, and what it shows can do no harm."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.inspect.heard_items import HeardItem
from jobs.inspect.report_page import page
from jobs.run.beginning import overwrite
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from schemas.marker import count_failures
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import make_older, render_run
from tests.jobs.support.reported import render_tones, report_of
from tests.jobs.support.s3_server import S3Server

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\n\x1b[2J\u202e&amp;</script>{{ 7 * 7 }}"


class Parsed(HTMLParser):
    """The tags, the attributes and the text of a page, and what its scripts are given."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        (given,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.S)
        self.data: dict[str, Any] = json.loads(given)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def test_what_was_asked_done_and_failed_is_reported(tmp_path: Path, out: Path) -> None:
    ids = ["a b%20#ü", "raises-1", "b", "unreadable-1", "c", "d", "e", "f"]
    shown = Parsed(page(report_of(render_run(make_corpus(tmp_path, ids), out, leave_out={3}))))
    for output in ("4 of 8 items", "cannot render raises-1", "not a MIDI file", "2 items in 1 shards", "100.0% full"):
        assert output in shown.words
    assert "RuntimeError : 1 items row item MIDI message 1 raises-1 midi/raises-1.mid" in shown.words
    assert shown.data["items"]["id"] == ids[:6]
    numbers, names = shown.data["items"]["wrong"]["values"], shown.data["items"]["wrong"]["names"]
    assert [names[numbers[place]] for place in (1, 3)] == ["RuntimeError", "MidiError"]
    assert shown.data["items"]["length"][1] is None and shown.data["items"]["length"][0] == 1.5
    links = [link for link in shown.of("href") if not link.startswith("data:")]
    assert set(links) == {f"{folder}/{name}" for folder, name in _files("a%20b%2520%23%C3%BC", "b", "c", "d")}
    assert (out / "audio/a b%20#ü.flac").is_file()


def _files(*names: str) -> list[tuple[str, str]]:
    return [(folder, f"{name}{end}") for name in names for folder, end in (("audio", ".flac"), ("midi", ".mid"))]


def test_faults_are_counted_and_the_worst_items_come_first(tmp_path: Path, out: Path) -> None:
    shown = Parsed(page(report_of(render_run(make_corpus(tmp_path, ["a", "b", "c"]), out))))
    assert "poor 3 items attacks_explained 3" in shown.words  # Noise explains nothing.
    assert "quality threshold attacks explained 0.8" in shown.words
    assert shown.text.count("worst,") == 3 and "random," not in shown.text


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_items_and_prompts_are_heard_in_every_layout(tmp_path: Path, out: Path, layout: str) -> None:
    shown = Parsed(page(report_of(render_tones(tmp_path, ["a", "b", "c"], str(out), layout))))
    players = [source for source in shown.of("src") if source.startswith("data:audio/mpeg;base64,")]
    assert len(players) == 6 and len(set(players)) == 5  # Three items, two of them with the same prompt.
    assert shown.tags.count("image") == 6 and "Not to be heard" not in shown.text


def test_the_worst_and_some_others_are_heard_and_prompts_and_splits_are_compared(tmp_path: Path, out: Path) -> None:
    ids = [f"piece-{number}" for number in range(10)]
    report = report_of(render_tones(tmp_path, ids, str(out), "parquet", seconds=1.5))
    shown = Parsed(page(report))
    assert shown.text.count("worst,") == 8 and shown.text.count("random,") == 2
    of_prompts = shown.words.split("By prompt ")[1].split("Shares")[0]
    assert "booth.wav 5 0 0 100%" in of_prompts and "hall.wav 5 0 0 100%" in of_prompts
    of_splits = shown.words.split("By split ")[1].split("Shares")[0]
    assert "train 4 0" in of_splits and "test 3 0" in of_splits and "validation 3 0" in of_splits


def test_a_run_without_audio_says_so(tmp_path: Path, out: Path) -> None:
    shown = Parsed(page(report_of(render_run(make_corpus(tmp_path, ["a", "b"]), out, layout="none"))))
    assert "2 of 2 items" in shown.words and "keeps no audio (layout none)" in shown.words
    assert "audio" not in shown.tags and shown.data["items"]["level"][0] < 0


def test_what_cannot_be_heard_is_reported_in_its_place(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    (out / "audio/b.flac").unlink()
    shown = Parsed(page(report_of(directory)))
    assert "it comes with the model dummy: say where that is with report --model" in shown.words
    assert "cannot read" in shown.words and shown.tags.count("audio") == 1


def test_a_run_of_an_older_version_has_a_page_without_verdicts(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    make_older(directory)
    shown = Parsed(page(report_of(directory)))
    assert shown.text.count("random,") == 2 and "not judged" in shown.words
    assert shown.data["items"]["verdict"]["names"] == ["not judged"]


def test_whatever_a_manifest_a_file_or_a_person_says_is_text(tmp_path: Path, out: Path) -> None:
    calm = report_of(render_run(make_corpus(tmp_path, ["a", "raises-1"]), out))
    texts = [field.name for field in calm.items.schema if field.type == pa.string()]
    row = calm.items.to_pylist()[0] | dict.fromkeys(texts, HOSTILE) | {"faults": [HOSTILE], "status": "ok"}
    failed = row | {"status": "failed", "error_type": HOSTILE}
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
    totals.add(replace(marker, failures=count_failures([(HOSTILE, HOSTILE)])))
    items = pa.Table.from_pylist([row, failed, row | {"prompt": "calm", "split": "calm"}], calm.items.schema)
    heard = [HeardItem(row, True, HOSTILE, calm.heard[0].clip)]
    output = page(replace(calm, place=HOSTILE, run=run, totals=totals, items=items, heard=heard))
    shown = Parsed(output)
    assert shown.tags.count("script") == 2 and "img" not in shown.tags
    assert not {name for name, _ in shown.attributes if name.startswith("on")}
    assert shown.text.count("<script>alert(1)</script>") >= 15 and "{{ 7 * 7 }}" in shown.text
    assert "\x1b" not in output and "\u202e" not in output
    assert all(value.startswith(("%22", "data:image/png;base64,")) for value in shown.of("href"))
    (policy,) = (value for value in shown.of("content") if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy and "*" not in policy


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path, out: Path) -> None:
    shown = Parsed(page(report_of(render_run(make_corpus(tmp_path, ["a", "b"]), out, leave_out={0}))))
    assert "0 of 2 items" in shown.words and "form" not in shown.tags and shown.data["items"]["id"] == []


def test_the_same_run_has_the_same_page(tmp_path: Path, out: Path) -> None:
    directory = render_tones(tmp_path, ["a", "b"], str(out), "files")
    assert page(report_of(directory)) == page(report_of(directory))


def test_the_verb_writes_it_and_overwrite_removes_it(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    result = CliRunner().invoke(midi_valle_app(), ["report", str(out)])
    assert result.exit_code == 0 and result.stdout == f"{out}/report.html\n"
    assert "2 of 2 items" in (out / "report.html").read_text()
    overwrite(directory, yes=True)
    assert not (out / "report.html").exists()


def test_a_report_on_s3_holds_what_is_heard_and_is_a_page_that_browsers_show(tmp_path: Path, s3: S3Server) -> None:
    directory = render_tones(tmp_path, ["a", "b", "c"], s3.uri(), "webdataset")
    result = CliRunner().invoke(midi_valle_app(), ["report", directory.storage.uri])
    assert result.exit_code == 0 and result.stdout == f"{directory.storage.uri}/report.html\n"
    shown = Parsed(directory.storage.read("report.html").decode())
    assert "3 of 3 items" in shown.words and shown.tags.count("audio") == 6
    storage: Any = directory.storage
    head = storage._client.head_object(Bucket=storage.bucket, Key=f"{storage.prefix}/report.html")
    assert head["ContentType"] == "text/html; charset=utf-8"
