from dataclasses import replace

import pytest

from jobs.console import duration, printable
from jobs.inspect.summary import summary
from jobs.run.display import Display
from jobs.run_directory.totals import Totals
from schemas.marker import Marker, StoredObject, count_failures


def marker(shard: int, *failed: tuple[str, str]) -> Marker:
    return Marker(
        shard=shard,
        attempt="x",
        items=10,
        failures=count_failures(failed),
        audio_seconds=30.0,
        render_seconds=3.0,
        metadata=StoredObject("metadata/x.parquet", 1, "ff"),
        objects=(),
    )


def test_shards_are_added_up_and_reasons_reported_with_their_first_items() -> None:
    totals = Totals()
    totals.add(marker(0, ("AudioError", "z"), *(("MidiError", item_id) for item_id in "ab")))
    totals.add(marker(2, *(("MidiError", item_id) for item_id in "cde")))
    assert totals.shards == {0: 0, 2: 0} and totals.items == 20 and totals.failed == 6
    output = summary(totals, 30, "/out", "files")
    assert "14 of 30 items rendered, 60.0 s of audio: /out/audio\ntheir notes as MIDI: /out/midi; one row" in output
    assert "60.0 s of audio: /out/shards\none row for every item" in summary(totals, 30, "/out", "parquet")
    assert "60.0 s of audio\none row for every item: /out/metadata" in summary(totals, 30, "/out", "none")
    assert output.endswith("6 items failed:\n  MidiError: 5 (a, b, c, ...)\n  AudioError: 1 (z)")


def test_progress_is_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run.display.SECONDS_BETWEEN_LINES", 0.0)
    totals = Totals()
    totals.add(marker(0))
    display = Display(20, totals)
    display.show(10, 30.0, 0, actors=2)
    assert capsys.readouterr().err == ""  # Nothing has begun yet.
    display.begin()
    display.show(12.5, 40.0, 1, actors=2)
    output = capsys.readouterr().err
    assert output.startswith("12.5 of 20 items, 40.0 s of audio, ") and output.endswith(" 1 failed, 1.1 s left\n")


def test_how_long_stopping_takes_is_reported_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    display = Display(20, Totals())
    display.begin()
    now = display._last_line + 5.0
    monkeypatch.setattr("jobs.run.display.time.monotonic", lambda: now)
    display.show(10, 30.0, 0, actors=2)
    assert capsys.readouterr().err == ""  # It is too early for a line.
    # Ten items in 5 s by two actors: one of them needs 1 s for an item.
    display.show(10, 30.0, 0, actors=2, until_stop=3.0)
    output = capsys.readouterr().err
    assert output.endswith("0 failed, stopping in about 3.0 s (interrupt once more to drop what is in flight)\n")
    display.show(11, 33.0, 0, actors=2, until_stop=2.0)
    assert capsys.readouterr().err == ""


def test_batches_are_as_full_as_shards_were_by_the_time_they_took() -> None:
    totals = Totals()
    assert totals.occupancy is None
    totals.add(replace(marker(0), occupancy=0.5, render_seconds=1.0))
    totals.add(replace(marker(1), occupancy=0.9, render_seconds=3.0))
    totals.add(marker(2))  # From a renderer without batches.
    assert totals.occupancy == pytest.approx(0.8)
    assert "; decode batches 80.0% full" in Display(30, Totals()).session(totals)


def test_what_files_are_called_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[2J\u202eb\né") == "a\\x1b[2J\\u202eb\né"


def test_durations_have_the_unit_that_fits() -> None:
    assert [duration(s) for s in (5, 100, 7200)] == ["5.0 s", "1.7 min", "2.00 h"]
