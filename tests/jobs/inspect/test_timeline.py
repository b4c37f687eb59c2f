"""How fast a run was at which time."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.inspect.report_page import page
from jobs.inspect.status import status
from jobs.inspect.timeline import INTERVALS, read_timeline
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run
from tests.jobs.support.reported import report_of

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)


def write_session(storage: LocalStorage, name: str, *events: tuple[float, str, dict[str, Any]]) -> None:
    lines = [
        json.dumps({"time": (BEGIN + timedelta(seconds=seconds)).isoformat(), "event": event, **values})
        for seconds, event, values in events
    ]
    storage.write(f"events/{name}.jsonl", ("\n".join(lines) + "\n").encode())


def test_audio_is_spread_over_the_time_in_which_its_actor_was_at_work(out: Path) -> None:
    storage = LocalStorage(out)
    write_session(
        storage,
        "20260102T000000-aaaaaaaa-000",
        (0, "driver_started", {}),
        (20, "actor_ready", {"actor": 0}),
        (40, "shard_finished", {"actor": 0, "audio_seconds": 100.0}),
        (60, "shard_finished", {"actor": 0, "audio_seconds": 300.0}),
    )
    write_session(storage, "20260102T000000-aaaaaaaa-001", (80, "driver_ended", {}))
    # An hour later: the time between is left out.
    write_session(
        storage,
        "20260102T010000-bbbbbbbb-000",
        (3600, "driver_started", {}),
        (3600, "actor_ready", {"actor": 0}),
        (3620, "shard_finished", {"actor": 0, "audio_seconds": 200.0}),
        (3640, "driver_ended", {}),
    )
    timeline = read_timeline(storage)
    assert timeline.seconds == 120 and list(timeline.starts) == [pytest.approx(80 / 120)]
    assert len(timeline.speed) == INTERVALS == 120
    expected = [0.0] * 20 + [5.0] * 20 + [15.0] * 20 + [0.0] * 20 + [10.0] * 20 + [0.0] * 20
    assert timeline.speed == pytest.approx(expected, abs=1e-6)


def test_a_run_without_events_has_no_time(out: Path) -> None:
    timeline = read_timeline(LocalStorage(out))
    assert timeline.seconds == 0 and not any(timeline.speed)


def test_files_that_are_no_event_logs_are_passed_over(out: Path) -> None:
    storage = LocalStorage(out)
    for name, content in (
        ("notes.txt", b"mine"),
        ("20260101T000000-aaaaaaaa-000.jsonl", b"not json"),
        ("20260101T000001-aaaaaaaa-000.jsonl", b'{"event": "shard_finished", "time": "2026-01-01T00:00:00Z"}'),
        ("20260101T000002-aaaaaaaa-000.jsonl", b"[1]\xff"),
        ("sub/20260101T000003-aaaaaaaa-000.jsonl", b"{}"),
    ):
        storage.write(f"events/{name}", content)
    write_session(storage, "20260102T000000-aaaaaaaa-000", (0, "driver_started", {}), (9, "driver_ended", {}))
    assert read_timeline(storage).seconds == 9


def test_other_files_behind_a_link_in_the_place_of_events_are_passed_over(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a"]), out)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    for name in ("photo.jpg", "20260101T000000-aaaaaaaa-000.jsonl", "deep/20260101T000001-aaaaaaaa-000.jsonl"):
        (elsewhere / name).write_bytes(b"\xff\xd8 theirs")
    shutil.rmtree(out / "events", ignore_errors=True)
    (out / "events").symlink_to(elsewhere)
    assert read_timeline(directory.storage).seconds == 0
    assert "<audio" in page(report_of(directory))
    assert "items: 1 of 1 rendered" in status(directory)
    assert (elsewhere / "photo.jpg").read_bytes() == b"\xff\xd8 theirs"
