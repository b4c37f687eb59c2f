"""Slots are refilled at once, in order, and never ask for more work than they have room for."""

from collections.abc import Iterator
from dataclasses import dataclass

from renderer.decoding.schedule import Occupancy, Queue, Slots


@dataclass(frozen=True)
class Work:
    name: int
    frames: int
    prefix: int = 10


def run(slots: Slots[Work]) -> tuple[list[int], list[int], int]:
    """The work that was admitted and finished, in order, and how many of all slots' steps served it."""
    admitted: list[int] = []
    finished: list[int] = []
    served = 0
    while True:
        admitted += [work.name for _, work in slots.admit()]
        if not slots.filled:
            return admitted, finished, served
        served += slots.filled
        finished += [work.name for _, work in slots.advance()]


def test_every_segment_gets_exactly_its_frames() -> None:
    lengths = [3, 7, 1, 4, 4, 9, 2]
    slots = Slots(3, iter(Work(index, frames) for index, frames in enumerate(lengths)))
    admitted, finished, served = run(slots)
    assert admitted == list(range(7))
    assert sorted(finished) == list(range(7))
    assert served == sum(lengths)


def test_work_is_pulled_only_when_a_slot_is_free() -> None:
    pulled = []

    def source() -> Iterator[Work]:
        for index in range(10):
            pulled.append(index)
            yield Work(index, 5)

    slots = Slots(2, source())
    list(slots.admit())
    assert pulled == [0, 1]
    for _ in range(4):
        assert slots.advance() == []
        list(slots.admit())
    assert pulled == [0, 1]
    slots.advance()
    list(slots.admit())
    assert pulled == [0, 1, 2, 3]


def test_used_counts_prefix_and_steps_of_each_slot() -> None:
    slots = Slots(2, iter([Work(0, 5, prefix=100), Work(1, 50, prefix=20)]))
    assert slots.used == [0, 0]
    list(slots.admit())
    assert slots.used == [101, 21]
    for _ in range(5):
        slots.advance()
    assert slots.used == [0, 26]


def test_filled_slots_close_the_gaps_and_go_on_where_they_were() -> None:
    slots = Slots(
        5, iter([Work(0, 1), Work(1, 7, prefix=20), Work(2, 1), Work(3, 9, prefix=30), Work(4, 5, prefix=40)])
    )
    list(slots.admit())
    assert list(slots.close_gaps()) == []
    assert [work.name for _, work in slots.advance()] == [0, 2]
    assert slots.used == [0, 22, 0, 32, 42]
    assert list(slots.close_gaps()) == [(4, 0), (3, 2)]
    assert slots.used == [42, 22, 32, 0, 0]
    assert [work.name for _, work in (pair for _ in range(8) for pair in slots.advance())] == [4, 1, 3]


def test_occupancy_is_the_share_of_steps_that_served_a_segment() -> None:
    earlier = Occupancy().after(4, 4)
    now = earlier.after(4, 2).after(4, 1)
    assert now.since(earlier) == Occupancy(8, 3) and now.since(earlier).share == 3 / 8
    assert Occupancy().share == 1.0


def test_work_that_is_put_back_goes_first_and_also_when_the_source_is_empty() -> None:
    queue = Queue(iter([Work(0, 2), Work(1, 3), Work(2, 2)]))
    slots, admitted = Slots(2, queue), []
    again = {0: Work(10, 2), 2: Work(12, 1)}
    while True:
        admitted += [work.name for _, work in slots.admit()]
        if not slots.filled:
            break
        for _, work in slots.advance():
            if work.name in again:
                queue.put_first(again[work.name])
    assert admitted == [0, 1, 10, 2, 12]


def test_half_as_many_slots_begin_what_was_under_way_anew_and_go_on_asking_their_source() -> None:
    queue = Queue(iter([Work(0, 3), Work(1, 3)]))
    slots = Slots(4, queue)
    assert [work.name for _, work in slots.admit()] == [0, 1]
    slots.advance()
    halved = slots.halved()
    assert [work.name for _, work in halved.admit()] == [0, 1]
    for _ in range(2):
        assert halved.advance() == []
    assert [work.name for _, work in halved.advance()] == [0, 1]
    assert list(halved.admit()) == []
    queue.put_first(Work(2, 1))
    assert [work.name for _, work in halved.admit()] == [2]
