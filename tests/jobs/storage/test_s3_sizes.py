"""Sizes of many objects by listings: never wrong, and few requests where objects are close together."""

import random
from bisect import bisect_right
from collections.abc import Sequence

import pytest

from jobs.storage.s3_sizes import LEAST_HITS, PAGES_TO_LOSE, sizes_by_listing

PAGE = 1000


class Bucket:
    """Names with sizes, in pages."""

    def __init__(self, names: Sequence[str], in_order: bool = True) -> None:
        self.sizes = {name: len(name) * 7 + index for index, name in enumerate(names)}
        self.pages = 0
        self._names = sorted(names)
        self._in_order = in_order

    def page_after(self, after: str) -> list[tuple[str, int]]:
        self.pages += 1
        first = bisect_right(self._names, after)
        page = [(name, self.sizes[name]) for name in self._names[first : first + PAGE]]
        if not self._in_order:
            random.Random(self.pages).shuffle(page)
        return page


def test_what_lies_close_together_is_reported_in_few_pages() -> None:
    names = [f"run/audio/{number:06d}.flac" for number in range(20_000)] + [f"run/midi/{n:06d}.mid" for n in range(50)]
    bucket = Bucket(names)
    wanted = names[5_000:10_000] + names[-50:]
    assert sizes_by_listing(bucket.page_after, wanted) == {name: bucket.sizes[name] for name in wanted}
    assert bucket.pages <= 7


@pytest.mark.parametrize("every", [20, 2_000])
def test_what_lies_apart_is_given_up_when_pages_do_not_pay(every: int) -> None:
    names = [f"run/audio/{number:07d}.flac" for number in range(200_000)]
    bucket = Bucket(names)
    wanted = names[::every]
    found = sizes_by_listing(bucket.page_after, wanted)
    assert found.items() <= bucket.sizes.items()
    if every == 20:
        assert len(found) == len(wanted)
    assert bucket.pages <= PAGES_TO_LOSE + 1 + len(found) / LEAST_HITS


def test_what_is_not_there_is_not_reported() -> None:
    names = [f"run/audio/{number:04d}.flac" for number in range(100)]
    bucket = Bucket(names[:50])
    assert sizes_by_listing(bucket.page_after, names) == bucket.sizes
    assert sizes_by_listing(bucket.page_after, names[:3]) == {}  # So few are asked for.
    assert sizes_by_listing(bucket.page_after, []) == {}


def test_a_server_without_an_order_costs_some_requests_and_no_truth() -> None:
    names = [f"run/{number:06d}" for number in range(5_000)]
    bucket = Bucket(names, in_order=False)
    found = sizes_by_listing(bucket.page_after, names)
    assert found.items() <= bucket.sizes.items() and bucket.pages < 500
