"""Which files belong together, so that no split knows another's music: renderings of one piece, and duplicates."""

from collections import defaultdict

from jobs.manifests.measures import Likeness


class Pieces:
    """Files, numbered as they are added, in groups that may not be parted."""

    def __init__(self) -> None:
        self.duplicate_of: list[int | None] = []
        self._group: list[int] = []
        self._of_piece: dict[str, int] = {}
        self._alike: defaultdict[bytes, list[tuple[int, Likeness]]] = defaultdict(list)

    def add(self, piece: str, likeness: Likeness | None) -> None:
        """The next file: what is played, and what its notes are like (None: it cannot be read)."""
        number = len(self._group)
        self._group.append(number)
        self.duplicate_of.append(None)
        self._join(self._of_piece.setdefault(piece, number), number)
        if likeness is None:
            return
        alike = self._alike[likeness.keys]
        self.duplicate_of[number] = next((other for other, known in alike if known.is_same(likeness)), None)
        if alike:
            self._join(alike[0][0], number)
        if self.duplicate_of[number] is None:
            alike.append((number, likeness))

    def groups(self) -> list[list[int]]:
        """The numbers of the files that belong together, group by group."""
        together: defaultdict[int, list[int]] = defaultdict(list)
        for number in range(len(self._group)):
            together[self._first(number)].append(number)
        return list(together.values())

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._first(one), self._first(other)))
        self._group[second] = first

    def _first(self, number: int) -> int:
        """The group's first file."""
        while self._group[number] != number:
            self._group[number] = self._group[self._group[number]]
            number = self._group[number]
        return number
