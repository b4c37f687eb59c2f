"""Training, validation and test: drawn by the seed, piece by piece."""

from collections.abc import Sequence
from typing import get_args

from jobs.errors import JobError
from jobs.seeded import digest
from schemas.splits import Split

BY_METADATA = "metadata"
_SPLITS: tuple[Split, ...] = get_args(Split)


def parsed_shares(text: str) -> tuple[float, float, float] | None:
    """``0.8,0.1,0.1`` as shares of training, validation and test; None for ``metadata``. JobError for another text."""
    if text == BY_METADATA:
        return None
    try:
        train, validation, test = (float(share) for share in text.split(","))
    except ValueError:
        raise JobError(
            f"--split is {text!r}; give three shares, of training, validation and test, as 0.8,0.1,0.1, "
            f"or {BY_METADATA}: as a table says"
        ) from None
    if not (min(validation, test) >= 0 and train > 0 and abs(train + validation + test - 1) < 1e-6):
        raise JobError(f"--split is {text}; shares are 0 or more, add up to 1, and leave something for training")
    return train, validation, test


def draw_splits(
    groups: Sequence[Sequence[int]], names: Sequence[str], seconds: Sequence[float], shares: Sequence[float], seed: int
) -> list[Split]:
    """Each file's split (N,), the same for all of a group.

    ``names`` (N,) are the files' own, by which and by the seed is drawn; ``seconds`` (N,) are what shares are counted
    in. Every split that is to have a share has a group at least; JobError if there are too few.
    """
    if len(groups) < sum(share > 0 for share in shares):
        raise JobError(
            f"--split: {len(groups)} piece(s) are too few for {sum(share > 0 for share in shares)} splits, because "
            "renderings of one piece stay together; leave --split out, or make shares 0"
        )
    splits: list[Split] = ["train" for _ in names]
    left = sorted(groups, key=lambda group: digest(seed, "split", min(names[number] for number in group)))
    total = sum(seconds)
    for split, share, still_to_come in zip(_SPLITS[1:], shares[1:], (shares[2] > 0, False), strict=True):
        chosen = _filled(left[: len(left) - 1 - still_to_come], seconds, share * total) if share > 0 else []
        for number in (number for group in chosen for number in group):
            splits[number] = split
        left = [group for group in left if splits[group[0]] == "train"]
    return splits


def _filled(groups: Sequence[Sequence[int]], seconds: Sequence[float], wanted: float) -> list[Sequence[int]]:
    """The first group, and those after it that bring the sum nearer to what is wanted."""
    chosen = [groups[0]]
    have = sum(seconds[number] for number in groups[0])
    for group in groups[1:]:
        more = sum(seconds[number] for number in group)
        if abs(have + more - wanted) < abs(have - wanted):
            chosen.append(group)
            have += more
    return chosen
