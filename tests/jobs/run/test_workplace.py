"""What workers note of their places, and how it is reported."""

import warnings
from collections import Counter
from pathlib import Path

import pytest

from jobs.run.actors import ProgressBoard
from jobs.run.node_tally import SHOWN_NODES, NodeTally
from jobs.run.places import Place
from jobs.run.workplace import Vitals, VitalsReporter, tell_warnings, vitals
from jobs.shard.progress import ShardProgress
from schemas.marker import FailureCount, Marker, StoredObject

A, B = Place("alpha", "1111111111"), Place("beta", "2222222222")


def marker(items: int, audio: float, failed: int = 0, generation: int = 0) -> Marker:
    failures = {"MidiError": FailureCount(failed, ("x",))} if failed else {}
    return Marker(
        shard=0,
        attempt="",
        items=items,
        failures=failures,
        audio_seconds=audio,
        render_seconds=1.0,
        metadata=StoredObject("", 0, ""),
        objects=(),
        generation=generation,
    )


def test_a_line_for_every_node_the_slowest_first() -> None:
    tally = NodeTally()
    tally.finished(A, marker(10, 600.0))
    tally.finished(A, marker(10, 600.0, generation=1))
    tally.finished(B, marker(4, 60.0, failed=3))
    tally.died(B)
    tally.felt(Vitals(B, (3 * 10**9, 8 * 10**9), "H200", (10**9, 2 * 10**9)))
    workers = Counter([A, A, B])
    assert tally.lines(workers, [(A, ShardProgress(7, 1.0, 60.0, 0))], 60.0) == [
        "beta (node 22222222): 1 worker, 4 items finished, 1.0 audio-s/s, 3 failed, 1 death, memory 3.0 of 8.0 GB, "
        "H200 1.0 of 2.0 GB",
        "alpha (node 11111111): 2 workers, 10 items finished, 11.0 audio-s/s",
    ]
    tally.finished(A, marker(1, 60.0))  # What was under way is finished: that is no more audio than was reported.
    assert "alpha (node 11111111): 2 workers, 11 items finished, 0.0 audio-s/s" in tally.lines(workers, [], 60.0)


def test_of_many_nodes_only_the_slowest_are_reported() -> None:
    tally = NodeTally()
    places = [Place(f"node-{number:02d}", str(number)) for number in range(20)]
    for number, place in enumerate(places):
        tally.finished(place, marker(1, 60.0 * number))
    lines = tally.lines(Counter(places), [], 60.0)
    assert len(lines) == SHOWN_NODES + 1 and lines[0].startswith("node-00 ")
    assert lines[-1] == f"12 faster nodes: 12 items finished, {sum(range(8, 20)):.1f} audio-s/s"


def test_a_warning_is_reported_once_for_every_place() -> None:
    board = ProgressBoard()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        tell_warnings(lambda text: board.warn(A, text))
        for _ in range(3):
            warnings.warn("slower", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    board.warn(B, "slower")
    assert board.read_notes().warnings == ((A, "slower"), (A, "old"), (B, "slower"))
    board.warn(A, "slower")
    board.warn(A, "hotter")
    assert board.read_notes().warnings == ((A, "hotter"),)


def test_memory_is_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    board = ProgressBoard()
    reporter = VitalsReporter(A, board.feel)
    for _ in range(3):
        reporter.report_now_and_then()
    (found,) = board.read_notes().vitals
    assert found.place == A and found.memory is not None and 0 < found.memory[0] < found.memory[1]
    reporter.report_now_and_then()
    assert board.read_notes().vitals == ()
    monkeypatch.setattr("jobs.run.workplace.MEMORY_FILE", Path("/none"))
    assert vitals(A).memory is None
