"""Slots are refilled at once, in order, and everything that was added gets its steps."""

import random
from dataclasses import dataclass

import pytest

from renderer.decoding.schedule import Occupancy, Scheduler


@dataclass(frozen=True)
class Work:
    name: int
    frames: int
    prefix: int = 10


def scheduler(slots: int, *work: Work) -> Scheduler[Work]:
    made: Scheduler[Work] = Scheduler(slots)
    for each in work:
        made.add(each)
    return made


def names(pairs: list[tuple[int, Work]]) -> list[int]:
    return [work.name for _, work in pairs]


def advance(slots: Scheduler[Work], steps: int = 1) -> list[int]:
    """What a call of steps ended; its slots are free at once."""
    ended = slots.advance(steps)
    slots.release(slot for slot, _ in ended)
    return names(ended)


def test_every_sequence_gets_exactly_its_frames() -> None:
    lengths = [3, 7, 1, 4, 4, 9, 2]
    slots = scheduler(3, *(Work(index, frames) for index, frames in enumerate(lengths)))
    admitted: list[int] = []
    finished: list[int] = []
    while not slots.is_idle:
        admitted += names(slots.admit())
        finished += advance(slots)
    assert admitted == list(range(7))
    assert sorted(finished) == list(range(7))
    assert slots.occupancy.filled == sum(lengths)


def test_there_is_room_for_as_many_as_would_find_a_free_slot() -> None:
    slots = scheduler(2)
    assert slots.room == 2 and slots.is_idle
    for index in range(3):
        slots.add(Work(index, 5))
    assert slots.room == 0 and names(slots.admit()) == [0, 1] and slots.room == 0
    for _ in range(4):
        assert advance(slots) == [] and slots.admit() == []
    assert advance(slots) == [0, 1] and slots.room == 1
    assert names(slots.admit()) == [2] and slots.room == 1 and not slots.is_idle


def test_lengths_count_prefix_and_steps_of_each_slot() -> None:
    slots = scheduler(2, Work(0, 5, prefix=100), Work(1, 50, prefix=20))
    assert slots.lengths == [0, 0]
    slots.admit()
    assert slots.lengths == [101, 21]
    for _ in range(5):
        advance(slots)
    assert slots.lengths == [0, 26]
    slots.add(Work(2, 5, prefix=30))
    slots.admit()
    assert slots.lengths == [31, 26]


def test_filled_slots_close_the_gaps_and_go_on_where_they_were() -> None:
    slots = scheduler(5, Work(0, 1), Work(1, 7, prefix=20), Work(2, 1), Work(3, 9, prefix=30), Work(4, 5, prefix=40))
    slots.admit()
    assert slots.close_gaps() == []
    assert advance(slots) == [0, 2]
    assert slots.lengths == [0, 22, 0, 32, 42]
    assert slots.close_gaps() == [(4, 0), (3, 2)]
    assert slots.lengths == [42, 22, 32, 0, 0]
    assert [name for _ in range(8) for name in advance(slots)] == [4, 1, 3]


def test_occupancy_is_the_share_of_steps_that_served_a_sequence() -> None:
    earlier = Occupancy().after(4, 4)
    now = earlier.after(4, 2).after(4, 1)
    assert now.since(earlier) == Occupancy(8, 3) and now.since(earlier).share == 3 / 8
    assert Occupancy().share == 1.0
    slots = scheduler(2, Work(0, 3), Work(1, 5))
    slots.admit()
    assert advance(slots, 4) == [0] and advance(slots, 4) == [1]
    assert slots.occupancy == Occupancy(16, 8)  # Steps beyond an end serve nobody.


def test_what_has_ended_holds_its_slot_until_it_is_released() -> None:
    slots = scheduler(2, Work(0, 1), Work(1, 1), Work(2, 1))
    slots.admit()
    assert names(slots.advance()) == [0, 1] and slots.admit() == []
    slots.release([1])
    assert slots.admit() == [(1, Work(2, 1))]


def test_half_as_many_slots_begin_what_was_under_way_anew_before_what_waits() -> None:
    slots = scheduler(4, *(Work(index, 3) for index in range(6)))
    assert names(slots.admit()) == [0, 1, 2, 3]
    slots.advance(2)
    slots.halve()
    assert slots.room == 0 and names(slots.admit()) == [0, 1]
    assert advance(slots) == advance(slots) == [] and advance(slots) == [0, 1]
    assert names(slots.admit()) == [2, 3] and advance(slots, 3) == [2, 3]
    assert names(slots.admit()) == [4, 5]


def test_slots_are_refilled_a_few_at_once_where_that_is_worth_it_and_at_the_end_all_the_same() -> None:
    slots = scheduler(3, *(Work(index, 1 + index) for index in range(5)))
    assert names(slots.admit(2)) == [0, 1, 2]
    assert advance(slots) == [0] and slots.admit(2) == []
    assert advance(slots) == [1] and names(slots.admit(2)) == [3, 4]
    slots = scheduler(3, Work(0, 1))
    assert names(slots.admit(3)) == [0] and advance(slots) == [0]
    slots.add(Work(1, 1))
    assert names(slots.admit(3)) == [1]


def test_steps_made_are_counted_for_each_and_never_beyond_its_end() -> None:
    slots = scheduler(2, Work(0, 3), Work(1, 9), Work(2, 1))
    slots.admit()
    slots.advance(2)
    assert list(slots.steps_made()) == [(Work(0, 3), 2), (Work(1, 9), 2)]
    slots.advance(2)
    assert list(slots.steps_made()) == [(Work(0, 3), 3), (Work(1, 9), 4)]


def test_what_is_cleared_is_gone() -> None:
    slots = scheduler(2, Work(0, 3), Work(1, 3), Work(2, 3))
    slots.admit()
    slots.clear()
    assert slots.is_idle and slots.room == 2 and slots.lengths == [0, 0] and slots.advance(9) == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_and_moves_each_sequence_ends_after_its_own_frames(seed: int) -> None:
    """Against a plain count of each sequence's steps."""
    chance = random.Random(seed)
    slots, frames = scheduler(5), [chance.randint(1, 12) for _ in range(60)]
    made: dict[Work, int] = {}
    ended: list[int] = []
    left = [Work(index, count, chance.randint(1, 99)) for index, count in enumerate(frames)]
    while len(ended) < len(frames):
        while left and slots.room and chance.random() < 0.7:
            slots.add(left.pop(0))
        made.update({work: 0 for _, work in slots.admit()})
        if chance.random() < 0.5:
            slots.close_gaps()
        assert sorted(length for length in slots.lengths if length) == sorted(w.prefix + n + 1 for w, n in made.items())
        assert dict(slots.steps_made()) == made and slots.filled == len(made)
        made = {work: count + 1 for work, count in made.items()}
        over = advance(slots)
        assert sorted(over) == sorted(work.name for work, count in made.items() if count == work.frames)
        made = {work: count for work, count in made.items() if count < work.frames}
        ended += over
    assert slots.is_idle
