"""What a driver is told while shards are under way: it rises, reaches all, and does not drift."""

import pytest
import torch

from jobs.shard import progress
from jobs.shard.progress import Progress, ShardProgress
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.prompt import Prompt
from renderer.rendering import RenderRequest

TAIL = 1.0


def request(item_id: str, seconds: float) -> RenderRequest:
    notes = Notes.of([0.0], [seconds - TAIL], [60], [64])
    return RenderRequest(item_id, Performance(notes, NoteReport()), Prompt("p", torch.zeros(150, 4), Notes.none()))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[ShardProgress]:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    return []


def test_items_under_way_count_by_what_is_generated_of_them(told: list[ShardProgress]) -> None:
    counted = Progress(TAIL, told.append)
    counted.began(0, request("a", 4.0))
    counted.began(1, request("b", 8.0))
    counted.generated("a", 1.0)
    counted.generated("b", 4.0)
    assert told[-2:] == [ShardProgress(0, 0.25, 1.0, 0), ShardProgress(1, 0.5, 4.0, 0)]
    counted.generated("a", 9.0)  # Of segments that were rendered again.
    assert told[-2] == ShardProgress(0, 1.0, 4.0, 0)
    counted.ended(0, "a", failed=False)
    assert told[-2:] == [ShardProgress(0, 1.0, 4.0, 0), ShardProgress(1, 0.5, 4.0, 0)]
    counted.abandoned()
    counted.generated("b", 1.0)
    assert told[-1] == ShardProgress(1, 0.5, 1.0, 0)  # Items never go back.
    counted.ended(1, "b", failed=True)
    assert told[-1] == ShardProgress(1, 1.0, 0.0, 1)
    counted.forget(0)
    counted.generated("b", 1.0)
    assert told[-1].shard == told[-2].shard == 1


def test_a_long_item_is_seen_to_progress_however_many_were_rendered_before(told: list[ShardProgress]) -> None:
    counted = Progress(TAIL, told.append)
    for number in range(200):
        counted.began(number, request(str(number), 2.0))
        counted.generated(str(number), 2.5)
        counted.ended(number, str(number), failed=False)
        counted.forget(number)
    counted.began(200, request("long", 3600.0))
    told.clear()
    for _ in range(10):
        counted.generated("long", 100.0)
    assert [progress.audio_seconds for progress in told] == [100.0 * step for step in range(1, 11)]


def test_little_is_told_in_between() -> None:
    told: list[ShardProgress] = []
    counted = Progress(TAIL, told.append)
    counted.began(0, request("a", 4.0))
    for _ in range(1000):
        counted.generated("a", 0.001)
    assert len(told) <= 1
