"""What a report's page holds of many items: all of some thousands, a sample of more, and never too much."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.inspect import item_rows
from jobs.inspect.heard_items import HeardItem
from jobs.inspect.item_rows import ITEM_SCHEMA, read_items
from jobs.inspect.page_data import PAGE_ITEMS, groups, page_data
from jobs.inspect.report_page import page
from jobs.inspect.run_report import RunReport
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run
from tests.jobs.support.reported import render_tones, report_of, totals_of


def many(count: int) -> pa.Table:
    """Rows of so many items with long names; every tenth is poor, every hundredth failed."""
    random = np.random.default_rng(0)
    poor, failed = [row % 10 == 0 for row in range(count)], [row % 100 == 1 for row in range(count)]
    columns: dict[str, Any] = {
        "item_id": [f"MIDI-Unprocessed_{row:06d}_R1_2008_01-04_ORIG_MID--AUDIO_{row:06d}_wav" for row in range(count)],
        "status": ["failed" if each else "ok" for each in failed],
        "error_type": ["MidiError" if each else None for each in failed],
        "error_message": ["not a MIDI file: " + "x" * 300 if each else None for each in failed],
        "prompt": [f"prompt-{row % 40}" for row in range(count)],
        "split": ["train" if row % 5 else "test" for row in range(count)],
        "audio_path": [f"audio/{'a' * 60}-{row}.flac" for row in range(count)],
        "verdict": [None if failed[row] else "poor" if poor[row] else "good" for row in range(count)],
        "faults": [["notes_found"] if each else [] for each in poor],
        "row": range(count),
    }
    numbers = [field.name for field in ITEM_SCHEMA if field.type == pa.float64()]
    columns |= {name: random.uniform(0, 1, count) for name in numbers}
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count) for field in ITEM_SCHEMA
    ]
    return pa.table(arrays, names=ITEM_SCHEMA.names).cast(ITEM_SCHEMA)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """The report of a small run of tones."""
    folder = tmp_path_factory.mktemp("tones")
    return report_of(render_tones(folder, ["a", "b", "c"], str(folder / "out"), "files", seconds=21.0))


def test_a_page_of_ten_thousand_items_is_below_ten_megabytes(tones: RunReport) -> None:
    heard = [
        HeardItem(tones.heard[0].row, place < 8, tones.heard[0].clip, tones.heard[0].prompt) for place in range(16)
    ]
    output = page(replace(tones, items=many(PAGE_ITEMS), heard=heard))
    assert len(output.encode()) < 10e6
    assert output.count("data:audio/mpeg") == 32 and "MIDI-Unprocessed_009999" in output


def test_of_more_items_a_page_has_a_sample_that_is_the_same_every_time(tones: RunReport) -> None:
    report = replace(tones, items=many(3 * PAGE_ITEMS))
    held = page_data(report)["items"]
    assert len(held["id"]) == PAGE_ITEMS == len(set(held["id"])) and held == page_data(report)["items"]
    verdicts = Counter(held["verdict"]["names"][number] for number in held["verdict"]["values"])
    assert 0.08 < verdicts["poor"] / PAGE_ITEMS < 0.12 and 0.005 < verdicts["failed"] / PAGE_ITEMS < 0.015


def test_items_are_reported_by_prompt_and_split_those_with_most_that_is_wrong_first() -> None:
    items = many(1000)
    by_prompt, by_split = groups(items, "prompt"), groups(items, "split")
    assert [group.name for group in by_split] == ["test", "train"] and sum(group.items for group in by_split) == 1000
    assert (by_split[0].items, by_split[0].poor, by_split[0].failed) == (200, 100, 0)
    assert by_split[1].failed == 10 and len(by_prompt) == 40 and by_prompt[0].poor == 25
    found = items.filter(pc.field("split") == "test")["notes_found"].to_numpy()
    assert by_split[0].found == pytest.approx(np.median(found))


def test_of_a_very_large_run_some_shards_are_read_and_the_failed_items_of_others(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["a", "b", "c", "raises-1", "d", "e", "f", "g"]
    directory = render_run(make_corpus(tmp_path, ids), out)
    run, totals = directory.begun(), totals_of(directory)
    every = read_items(directory, run, totals)
    assert every["item_id"].to_pylist() == ids and every["row"].to_pylist() == list(range(8))
    assert every["prompt"].to_pylist() == ["plain"] * 8 and every["split"].null_count == 8
    monkeypatch.setattr(item_rows, "READ_ITEMS", 4)
    assert read_items(directory, run, totals)["item_id"].to_pylist() == ["a", "b", "raises-1", "d", "e"]


def test_columns_of_a_manifest_that_have_other_types_are_read(tmp_path: Path, out: Path) -> None:
    columns = {"split": pa.array(["train", "test"]).dictionary_encode(), "row": ["x", "y"], "metadata": [1, 2]}
    items = report_of(render_run(make_corpus(tmp_path, ["a", "b"], **columns), out)).items
    assert items["split"].to_pylist() == ["train", "test"] and items["row"].to_pylist() == [0, 1]
