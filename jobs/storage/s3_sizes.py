"""The sizes of many objects on S3: a page of a listing tells a thousand for what asking for a dozen costs."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

LEAST_HITS = 13
"""So many sizes must be had of a page on average; else it is cheaper to ask for each."""

PAGES_TO_LOSE = 4

Page = Callable[[str], Sequence[tuple[str, int]]]
"""The objects that follow after a name, in their order, and their sizes."""


def sizes_by_listing(page_after: Page, wanted: Sequence[str]) -> dict[str, int]:
    """The sizes of some of the ``wanted`` names, which are sorted: where they are close together.

    What is not among them may be there all the same. A server whose pages are in another order costs some requests.
    """
    names, found = set(wanted), dict[str, int]()
    place, pages = 0, 0
    while len(wanted) - place >= LEAST_HITS and pages * LEAST_HITS <= len(found) + PAGES_TO_LOSE * LEAST_HITS:
        page = page_after(wanted[place][:-1])
        pages += 1
        if not page:
            break
        found.update((name, size) for name, size in page if name in names)
        place = max(place + 1, bisect_right(wanted, page[-1][0]))
    return found
