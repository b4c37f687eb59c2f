"""Which clips and items are evaluated, if not all are."""

from collections import Counter

import pytest

from jobs.evaluation.subjects import spread


@pytest.mark.parametrize("limit", [7, 28, 31, 33, 100, 216])
def test_of_kinds_that_take_turns_each_has_its_share(limit: int) -> None:
    numbers = list(range(217))
    kinds = [f"condition {number % 14}" for number in numbers]
    chosen = spread(numbers, limit, kinds)
    assert len(chosen) == limit and chosen == sorted(set(chosen))
    counts = Counter(kinds[number] for number in chosen)
    for kind, there in Counter(kinds).items():
        assert abs(counts[kind] - there * limit / len(numbers)) < 1


def test_without_a_limit_or_within_it_all_are_chosen() -> None:
    assert spread("abc", None, "xyx") == spread("abc", 3, "xyx") == spread("abc", 9, "xyx") == ["a", "b", "c"]
