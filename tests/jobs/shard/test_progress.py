"""What a driver hears while shards are under way: it rises, reaches all, and does not drift."""

import pytest
import torch

from jobs.shard import progress
from jobs.shard.progress import ProgressReporter, ShardProgress
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.prompt import Prompt
from renderer.rendering import RenderRequest

TAIL = 1.0


def request(item_id: str, seconds: float) -> RenderRequest:
    notes = Notes.of([0.0], [seconds - TAIL], [60], [64])
    prompt = Prompt("p", torch.zeros(150, 4), Notes.none())
    return RenderRequest(item_id, Performance(notes, NoteReport()), prompt, tail=TAIL)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[ShardProgress]:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    return []


def test_items_under_way_count_by_what_is_generated_of_them(reports: list[ShardProgress]) -> None:
    generated: dict[str, float] = {}
    reporter = ProgressReporter(reports.append, lambda: generated)
    reporter.began((0, 0), request("a", 4.0))
    reporter.began((1, 0), request("b", 8.0))
    generated.update(a=1.0, b=4.0)
    reporter.report_now_and_then()
    assert reports[-2:] == [ShardProgress(0, 0.25, 1.0, 0), ShardProgress(1, 0.5, 4.0, 0)]
    generated["a"] = 4.01  # The last frame reaches beyond the end.
    reporter.report_now_and_then()
    assert reports[-2] == ShardProgress(0, 1.0, 4.0, 0)
    del generated["a"]
    reporter.rendered("a")
    reporter.report_now_and_then()
    assert reports[-2] == ShardProgress(0, 1.0, 4.0, 0)
    reporter.ended((0, 0), "a", failed=False)
    assert reports[-2:] == [ShardProgress(0, 1.0, 4.0, 0), ShardProgress(1, 0.5, 4.0, 0)]
    generated["b"] = 1.0  # It began anew.
    reporter.report_now_and_then()
    assert reports[-1] == ShardProgress(1, 0.5, 1.0, 0)  # Items never go back.
    reporter.ended((1, 0), "b", failed=True)
    assert reports[-1] == ShardProgress(1, 1.0, 0.0, 1)
    reporter.forget((0, 0))
    reporter.report_now_and_then()
    assert reports[-1].shard == reports[-2].shard == 1


def test_a_long_item_is_seen_to_progress_however_many_were_rendered_before(reports: list[ShardProgress]) -> None:
    generated: dict[str, float] = {}
    reporter = ProgressReporter(reports.append, lambda: generated)
    for number in range(200):
        reporter.began((number, 0), request(str(number), 2.0))
        reporter.rendered(str(number))
        reporter.ended((number, 0), str(number), failed=False)
        reporter.forget((number, 0))
    reporter.began((200, 0), request("long", 3600.0))
    reports.clear()
    for step in range(1, 11):
        generated["long"] = 100.0 * step
        reporter.report_now_and_then()
    assert [progress.audio_seconds for progress in reports] == [100.0 * step for step in range(1, 11)]


def test_little_is_reported_in_between_and_nothing_is_counted_for_it() -> None:
    reports: list[ShardProgress] = []
    asked: list[dict[str, float]] = []

    def generated() -> dict[str, float]:
        asked.append({})
        return asked[-1]

    reporter = ProgressReporter(reports.append, generated)
    reporter.began((0, 0), request("a", 4.0))
    for _ in range(1000):
        reporter.report_now_and_then()
    assert len(reports) <= 1 and len(asked) <= 1
