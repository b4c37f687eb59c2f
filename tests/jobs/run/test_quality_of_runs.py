"""Every item of a run is measured and judged, by thresholds that are part of what the run is."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.cli.render import render_app
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.report_page import page
from jobs.inspect.status import status
from jobs.inspect.summary import summary
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.shard.items import ItemReader
from schemas.manifest import Manifest
from schemas.marker import QualityCount
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend, DummyRenderer
from tests.jobs.support.played import PlayedBackend, make_played_corpus
from tests.jobs.support.rendered import QUALITY, make_older, render_run
from tests.jobs.support.reported import report_of, totals_of


def test_notes_that_are_played_make_a_good_item_and_noise_a_poor_one_that_can_be_filtered_out(tmp_path: Path) -> None:
    corpus = make_played_corpus(tmp_path / "played", clips=2, layout="files")
    render_run(make_corpus(tmp_path, ["a", "raises-1"]), tmp_path / "noise")
    for row in results(corpus):
        assert row["verdict"] == "good" and row["faults"] == []
        assert row["notes_found"] > 0.9 and row["attacks_explained"] > 0.9 and row["quality_score"] > 0.9
        assert row["silence_s"] == 0.0 and row["length_error"] == 0 and row["segments_retried"] == 0
        assert row["joint_prominence"] is None  # Of one segment: null, so that no comparison holds.
        assert row["codes_match"] is None  # There is no language model to judge.
    noise, failed = results(tmp_path / "noise")
    assert noise["status"] == "ok" and noise["verdict"] == "poor" and "attacks_explained" in noise["faults"]
    assert failed["status"] == "failed" and all(failed[name] is None for name in QUALITY)
    good = pq.read_table(tmp_path / "noise/metadata", filters=[("verdict", "==", "good")])
    assert len(good) == 0


def test_level_and_clipping_are_judged_as_written_and_notes_as_the_model_played_them(tmp_path: Path) -> None:
    corpus = make_played_corpus(tmp_path, clips=1, layout="files")
    manifest = tmp_path / "manifest.parquet"
    (plain,) = results(corpus)
    render_run(manifest, tmp_path / "loud", backend=PlayedBackend(), layout="files", tail=0.2, loudness="0")
    render_run(manifest, tmp_path / "low", backend=PlayedBackend(), layout="files", tail=0.2, sample_rate=8000)
    (loud,), (low,) = results(tmp_path / "loud"), results(tmp_path / "low")
    assert loud["faults"] == ["clipped"] and loud["clipped_samples"] > 1e-3 * loud["samples"]
    assert low["sample_rate"] == 8000 and low["length_error"] == 0
    for name in ("notes_found", "attacks_explained", "silence_s", "quality_score"):
        assert plain[name] == loud[name] == low[name]


def test_markers_summary_and_status_count_verdicts_and_faults(tmp_path: Path, out: Path) -> None:
    thresholds = ["attacks_explained=0", "notes_found=0", "level=-5"]
    directory = render_run(make_corpus(tmp_path, ["a", "b", "raises-1", "c"]), out, quality_threshold=thresholds)
    assert [marker.quality for marker in directory.markers()] == [
        QualityCount(0, 2, {"level": 2}),
        QualityCount(0, 1, {"level": 1}),
    ]
    line = "quality: 0 items good, 3 poor (level 3)"
    assert line in summary(totals_of(directory), 4, "/out", "files").splitlines()
    assert line in status(directory).splitlines()


def test_items_that_are_rendered_again_are_counted_once(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "unreadable-1"])
    directory = render_run(manifest, out, quality_threshold=["attacks_explained=0"])
    totals = totals_of(directory)
    make_corpus(tmp_path / "good", ["x"])
    (tmp_path / "midi/unreadable-1.mid").write_bytes((tmp_path / "good/midi/x.mid").read_bytes())
    render_run(manifest, out, generation=1, quality_threshold=["attacks_explained=0"])
    for marker in directory.markers():
        totals.add(marker)
    rows = results(out)
    assert [row["verdict"] for row in rows].count("good") == totals.good
    assert totals.good + totals.poor == 2
    assert all(sum(name in row["faults"] for row in rows) == count for name, count in totals.faults)


def test_a_run_of_a_version_that_did_not_judge_can_be_read_but_not_continued(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "raises-1", "b"])
    directory = render_run(manifest, out)
    make_older(directory)
    output = page(report_of(directory))
    assert "of those judged" not in output and "<audio" in output
    assert "quality" not in status(directory) and "quality" not in summary(totals_of(directory), 3, "/out", "files")
    assert list(find_problems(directory, Inputs())) == []
    job = prepare(RenderOptions(manifest=str(manifest), out=str(out), device="cpu", actors=1), DummyBackend())
    with pytest.raises(JobError, match=r"quality threshold notes_found: None in the run, 0\.45 now"):
        directory.check_same(directory.begun(), job.run, None)


def test_attempts_and_thresholds_make_another_run(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    directory = render_run(manifest, out, attempts=2, quality_threshold=["silence=1"])
    assert json.loads((out / "run.json").read_text())["settings"]["thresholds"]["silence"] == 1

    def check(**options: Any) -> None:
        job = prepare(RenderOptions(manifest=str(manifest), device="cpu", actors=1, **options), DummyBackend())
        directory.check_same(directory.begun(), job.run, None)

    check(attempts=2, quality_threshold=["silence=1"])
    with pytest.raises(JobError, match="- attempts: 2 in the run, 3 now\nGive"):
        check(attempts=3, quality_threshold=["silence=1"])
    with pytest.raises(JobError, match=r"- quality threshold silence: 1\.0 in the run, 0\.5 now\nGive"):
        check(attempts=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality_threshold": ["loud=1"]}, "there is no 'loud'; there are length_error, clipped, level"),
        ({"quality_threshold": ["silence"]}, "'' is no number; write NAME=VALUE"),
        ({"quality_threshold": ["notes_found=45"]}, "notes_found is 45.0; it is a share, 0 to 1"),
        ({"quality_threshold": ["joints=2", "joints=3"]}, "joints is given twice"),
        ({"attempts": 0}, "--attempts is 0; it must be 1 or more"),
        ({"attempts": 2, "temperature": 0.0}, "all attempts would be alike"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as error:
        prepare(RenderOptions(manifest=str(make_corpus(tmp_path, ["a"])), **options), DummyBackend())
    assert message in str(error.value)


def test_segments_are_judged_by_the_runs_thresholds_but_clipping_only_where_no_level_is_set(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    (row,) = Manifest.open(manifest).rows()

    def retakes(**options: Any) -> Any:
        asked = RenderOptions(manifest=str(manifest), device="cpu", actors=1, attempts=3, **options)
        job = prepare(asked, DummyBackend())
        items = ItemReader(job.run.settings, str(manifest), None, job.inputs, DummyRenderer(0))
        return items.request(row).retakes

    judged = retakes(quality_threshold=["notes_found=0.7"])
    assert (judged.most, judged.thresholds.notes_found, judged.thresholds.clipped) == (3, 0.7, 1e-3)
    assert retakes(peak="-1").thresholds.clipped == retakes(loudness="-23").thresholds.clipped == 1.0


def test_the_options_are_the_commands_own(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a"])
    asked = ["--attempts", "2", "--quality-threshold", "silence=1", "--quality-threshold", "sound=1"]
    result = CliRunner().invoke(
        render_app, [str(manifest), "--out", str(out), "--device", "cpu", *asked], obj=lambda options: DummyBackend()
    )
    assert result.exit_code == 1 and "--quality-threshold sound=1: there is no 'sound'" in result.stderr
